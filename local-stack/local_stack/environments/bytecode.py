"""Compiled code of functions is kept by us, and is never older than its source.

Python keeps it in `__pycache__` beside the source, and takes a file that was saved twice within one
second, with the same size, for unchanged: with reload that would run old code. Also, a function's
folder cannot be written to. So modules of functions and their layers are compiled into a folder of
the stack, under the source's time in nanoseconds and its size.

Standard library only: this is used in the forks of the zygote.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.machinery as machinery
import marshal
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType

_KEY_BYTES = 16  # what the source was: a digest of path, time, size and the interpreter


class KeptCode(machinery.SourceFileLoader):
    """Loads a module as `SourceFileLoader` does, but for where its compiled code is kept."""

    folder = ""  # set by `install`, in the fork

    def get_code(self, fullname: str) -> CodeType | None:  # type: ignore[explicit-override]
        """The module's code: as kept, if the source is still the same."""
        path = self.get_filename(fullname)
        name, key = _name(path), _key(path)
        kept = os.path.join(self.folder, name)  # noqa: PTH118 - pathlib is slow, and this is a start
        with (
            contextlib.suppress(OSError, ValueError, EOFError, TypeError),
            open(kept, "rb") as file,  # noqa: PTH123
        ):
            if file.read(_KEY_BYTES) == key:
                code: CodeType = marshal.loads(file.read())  # noqa: S302 - we wrote it
                return code
        code = self.source_to_code(self.get_data(path), path)
        if _key(path) == key:  # else it was saved while we read it
            _keep(kept, key + marshal.dumps(code))
        return code


def install(folder: str, roots: Sequence[str]) -> None:
    """Load what lies under `roots` that way from now on, but for a virtual environment there."""
    KeptCode.folder = folder
    details: list[tuple[Any, list[str]]] = [
        (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
        (KeptCode, machinery.SOURCE_SUFFIXES),
        (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
    ]
    finder_for = machinery.FileFinder.path_hook(*details)

    def ours(path: str) -> bool:
        return not path.startswith(f"{sys.prefix}/") and any(
            path == root or path.startswith(f"{root}/") for root in roots
        )

    def finder(path: str) -> machinery.FileFinder:
        if not ours(path):
            raise ImportError
        found: machinery.FileFinder = finder_for(path)  # type: ignore[assignment]
        return found

    sys.path_hooks.insert(0, finder)
    for path in list(sys.path_importer_cache):
        if ours(path):
            del sys.path_importer_cache[path]


def _name(path: str) -> str:
    return f"{hashlib.blake2b(path.encode(), digest_size=16).hexdigest()}.pyc"


def _key(path: str) -> bytes:
    status = os.stat(path)  # noqa: PTH116
    text = f"{path} {status.st_mtime_ns} {status.st_size} {sys.implementation.cache_tag}"
    return hashlib.blake2b(text.encode(), digest_size=_KEY_BYTES).digest()


def _keep(path: str, data: bytes) -> None:
    """Write it whole or not at all; without room or right the module is compiled each time."""
    unfinished = f"{path}.{os.getpid()}"
    try:
        with open(unfinished, "wb") as file:  # noqa: PTH123
            file.write(data)
        os.replace(unfinished, path)  # noqa: PTH105
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)  # noqa: PTH108
