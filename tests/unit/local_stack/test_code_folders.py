"""Which saved file belongs to which function, and what is no code at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_stack.code_folders import CodeFolders, is_code
from tests.support.functions import a_function

FIRST = a_function("First", code_dir=Path("/p/first"), layer_paths=(Path("/p/layer/python"),))
SECOND = a_function("Second", code_dir=Path("/p/second"), layer_paths=(Path("/p/layer/python"),))
WHOLE = a_function("Whole", code_dir=Path("/p"))
FOLDERS = CodeFolders([FIRST, SECOND])


@pytest.mark.parametrize(
    ("path", "functions"),
    [
        ("/p/first/app.py", {"First"}),
        ("/p/first/deep/er/data.json", {"First"}),
        ("/p/second/app.py", {"Second"}),
        ("/p/layer/python/shared/clock.py", {"First", "Second"}),
        ("/p/first", {"First"}),  # removed as a whole, and made again by a build
        ("/p", {"First", "Second"}),
        ("/p/firstly/app.py", set()),
        ("/p/layer/readme.md", set()),
        ("/p/template.yaml", set()),
    ],
)
def test_a_file_belongs_to_the_functions_that_have_it_as_code_or_layer(
    path: str, functions: set[str]
) -> None:
    assert FOLDERS.affected(path) == functions


@pytest.mark.parametrize(
    "inside",
    [
        "__pycache__/app.cpython-311.pyc",
        "node_modules/left-pad/index.js",
        ".venv/lib/python3.11/site-packages/requests/api.py",
        ".git/index.lock",
        ".aws-sam/build/First/app.py",
        ".mypy_cache/3.11/app.data.json",
    ],
)
def test_what_lies_in_a_folder_of_tools_is_no_code(inside: str) -> None:
    assert FOLDERS.affected(f"/p/first/{inside}") == set()


def test_code_may_itself_lie_in_such_a_folder() -> None:
    folder = Path("/p/.aws-sam/build/First")
    folders = CodeFolders([a_function("First", code_dir=folder)])

    assert folders.affected(f"{folder}/app.py") == {"First"}


def test_the_folder_of_the_stack_is_no_code() -> None:
    folders = CodeFolders([WHOLE], [Path("/p/data/stack")])

    assert folders.affected("/p/data/stack/logs/zygote.log") == set()
    assert folders.affected("/p/data/stacked.json") == {"Whole"}


@pytest.mark.parametrize(
    "name", ["app.py", "data.json", "prices.csv", "lib.so", "a#b.txt", "4913.txt", "tmp", "sed.py"]
)
def test_code_and_its_data_count(name: str) -> None:
    assert is_code(name)


@pytest.mark.parametrize(
    "name",
    [
        "app.pyc",
        ".app.py.swp",
        ".app.py.swx",
        "app.py~",
        ".#app.py",
        "#app.py#",
        "4913",
        "app.py___jb_tmp___",
        "app.py___jb_old___",
        ".app.py.kate-swp",
        "app.py.tmp",
        ".goutputstream-A1B2C3",
        "sedAb12Cd",
        "__pycache__",
    ],
)
def test_what_editors_and_python_leave_does_not_count(name: str) -> None:
    assert not is_code(name)


def test_folders_are_found_without_those_of_tools(tmp_path: Path) -> None:
    for inside in ("code/package", "code/__pycache__", "code/.venv/lib", "code/stack/logs"):
        (tmp_path / inside).mkdir(parents=True)
    code = tmp_path / "code"
    folders = CodeFolders([a_function(code_dir=code)], [code / "stack"])

    assert folders.find(10).folders == (str(code), str(code / "package"))


def test_folders_of_two_functions_are_watched_once(tmp_path: Path) -> None:
    folders = CodeFolders([a_function("A", code_dir=tmp_path), a_function("B", code_dir=tmp_path)])

    assert folders.find(10).folders == (str(tmp_path),)


def test_as_many_folders_are_found_as_asked_for_and_not_one_more(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
    folders = CodeFolders([a_function(code_dir=tmp_path)])

    assert folders.find(4).complete
    cut = folders.find(3)
    assert (len(cut.folders), cut.complete) == (3, False)


def test_the_folder_above_stands_for_one_that_is_gone(tmp_path: Path) -> None:
    folders = CodeFolders([a_function(code_dir=tmp_path / "build" / "Hello")])

    assert folders.find(10).folders == (str(tmp_path),)
    assert folders.affected(str(tmp_path / "build")) == {"Hello"}
