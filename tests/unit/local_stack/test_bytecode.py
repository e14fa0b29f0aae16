"""Compiled code of functions: kept, and never older than its source."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

import pytest

from local_stack.environments import bytecode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Path]:
    """A folder on the search path, whose compiled code is kept in `kept` beside it."""
    folder, kept = tmp_path / "code", tmp_path / "kept"
    folder.mkdir()
    kept.mkdir()
    hooks, modules = list(sys.path_hooks), set(sys.modules)
    sys.path.insert(0, str(folder))
    bytecode.install(str(kept), [str(folder)])
    yield folder
    sys.path.remove(str(folder))
    sys.path_hooks[:] = hooks
    sys.path_importer_cache.pop(str(folder), None)
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def _save(path: Path, text: str) -> None:
    path.write_text(text)
    importlib.invalidate_caches()


def _load(name: str) -> object:
    sys.modules.pop(name, None)
    return importlib.import_module(name).VALUE


def test_a_file_saved_twice_in_a_second_with_one_size_is_loaded_anew(code: Path) -> None:
    """Python's own cache compares whole seconds and the size, and would run the old code."""
    _save(code / "saved.py", "VALUE = 1")
    os.utime(code / "saved.py", ns=(10**18, 10**18))
    assert _load("saved") == 1

    _save(code / "saved.py", "VALUE = 2")
    os.utime(code / "saved.py", ns=(10**18 + 1, 10**18 + 1))
    assert _load("saved") == 2


def test_code_is_compiled_once_and_not_beside_its_source(code: Path) -> None:
    _save(code / "once.py", "VALUE = 1")
    _load("once")
    [kept] = (code.parent / "kept").iterdir()
    written = kept.stat().st_mtime_ns

    assert _load("once") == 1
    assert kept.stat().st_mtime_ns == written
    assert [path.name for path in code.iterdir()] == ["once.py"]


def test_what_was_kept_and_is_broken_is_compiled_again(code: Path) -> None:
    _save(code / "torn.py", "VALUE = 1")
    _load("torn")
    [kept] = (code.parent / "kept").iterdir()
    kept.write_bytes(kept.read_bytes()[:20])

    assert _load("torn") == 1


def test_packages_and_their_modules_are_found(code: Path) -> None:
    (code / "package").mkdir()
    _save(code / "package" / "__init__.py", "from package.inner import VALUE")
    _save(code / "package" / "inner.py", "VALUE = 3")

    assert _load("package") == 3
    assert type(sys.modules["package"].__loader__) is bytecode.KeptCode


def test_a_syntax_error_names_the_file(code: Path) -> None:
    _save(code / "wrong.py", "def")

    with pytest.raises(SyntaxError) as raised:
        _load("wrong")
    assert raised.value.filename == str(code / "wrong.py")
