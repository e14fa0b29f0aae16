"""A module that can be imported by the second process of an environment: /tmp tells which it is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

MARK = Path(tempfile.gettempdir()) / "tried"

if not MARK.exists():
    MARK.touch()
    os._exit(7)


def handler(event: object, context: object) -> int:
    return os.getpid()
