"""Which folders hold the code of functions, and which functions a saved file belongs to.

Only names and paths: what watches them is `reload.py`. What editors, Python and version control
keep beside the code is no code.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from local_stack.model import Function

_IGNORED_FOLDERS = frozenset(
    {
        "__pycache__", "node_modules", "venv", ".venv", ".git", ".hg", ".svn", ".stack", ".aws-sam",
        ".idea", ".vscode", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache",
        ".hypothesis",
    }
)  # fmt: skip
# Vim writes 4913 to see whether it may, .name.swp and name~; Emacs .#name and #name#; JetBrains
# name___jb_tmp___; Kate .name.kate-swp; sed and gedit their own.
_IGNORED_FILES = re.compile(
    r"\.py[cod]$|\.sw[a-z]$|~$|^\.#|^#.*#$|^4913$|___jb_(tmp|old)___$|\.kate-swp$|\.tmp$"
    r"|^\.goutputstream-|^sed[A-Za-z0-9]{6}$|^\.DS_Store$"
)


def is_code(name: str) -> bool:
    """Whether a file or folder of that name can be code, or data that code reads."""
    return name not in _IGNORED_FOLDERS and not _IGNORED_FILES.search(name)


@dataclass(frozen=True, slots=True)
class Found:
    """The folders to watch; `complete` is false if there are more than were asked for."""

    folders: tuple[str, ...]
    complete: bool


class CodeFolders:
    """The code and layer folders of `functions`; nothing inside `ignored` counts."""

    def __init__(self, functions: Iterable[Function], ignored: Collection[Path] = ()) -> None:
        self._ignored = frozenset(str(path) for path in ignored)
        self._functions: dict[str, set[str]] = {}  # by folder
        for function in functions:
            for folder in (function.code_dir, *function.layer_paths):
                self._functions.setdefault(str(folder), set()).add(function.name)

    def find(self, limit: int) -> Found:
        """Up to `limit` folders, each root before what is in it.

        A root that is not there (a build has just removed it) is stood for by the nearest folder
        above it, so that its return is noticed.
        """
        found: dict[str, None] = {}
        for root in self._functions:
            for folder in self._walk(root):
                if folder not in found:
                    if len(found) >= limit:
                        return Found(tuple(found), complete=False)
                    found[folder] = None
        return Found(tuple(found), complete=True)

    def affected(self, path: str) -> set[str]:
        """The functions that `path` belongs to; also those whose folder is inside of it."""
        names: set[str] = set()
        for root, functions in self._functions.items():
            if path == root or path.startswith(f"{root}/"):
                if self._counts(path, root):
                    names |= functions
            elif root.startswith(f"{path}/"):
                names |= functions
        return names

    def _counts(self, path: str, root: str) -> bool:
        """Whether nothing from the root down to `path` is ignored."""
        while path != root:
            if path in self._ignored or not is_code(path.rpartition("/")[2]):
                return False
            path = path.rpartition("/")[0]
        return True

    def _walk(self, root: str) -> Iterator[str]:
        if not Path(root).is_dir():
            yield str(next(parent for parent in Path(root).parents if parent.is_dir()))
            return
        for folder, inside, _ in os.walk(root):
            inside[:] = sorted(
                name
                for name in inside
                if is_code(name) and str(Path(folder, name)) not in self._ignored
            )
            yield folder
