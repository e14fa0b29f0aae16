"""A function that brings its own copy of a package that the zygote has imported already."""

from __future__ import annotations

import anyio
import idna


def handler(event: object, context: object) -> dict[str, str]:
    return {"anyio": str(anyio.__file__), "idna": str(idna.__file__)}
