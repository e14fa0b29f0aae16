"""Code of functions and layers: folders, zip files, text in the template."""

from __future__ import annotations

import stat
import zipfile
from typing import TYPE_CHECKING

import pytest

from local_stack.template import archives
from local_stack.template.loader import load_template
from tests.support.templates import FUNCTION, Project

if TYPE_CHECKING:
    from pathlib import Path

ZIPPED = FUNCTION.replace("code/", "code.zip")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def _zip(project: Project, name: str = "code.zip", **entries: str) -> Path:
    path = project.folder / name
    with zipfile.ZipFile(path, "w") as file:
        for entry, text in entries.items():
            file.writestr(entry, text)
    return path


def _add(path: Path, entry: zipfile.ZipInfo | str, text: str = "") -> None:
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(entry, text)


def test_a_zip_file_is_unpacked_once_into_a_folder_named_by_its_content(project: Project) -> None:
    path = _zip(project)
    _add(path, "app.py", "x = 1\n")
    _add(path, "package/module.py", "y = 2\n")

    first = project.load(ZIPPED).functions["Hello"].code_dir
    before = (first / "app.py").stat().st_mtime_ns
    again = project.load(ZIPPED).functions["Hello"].code_dir
    _add(path, "more.py")
    other = project.load(ZIPPED).functions["Hello"].code_dir

    assert first == again
    assert (first / "app.py").stat().st_mtime_ns == before
    assert (first / "package" / "module.py").read_text() == "y = 2\n"
    assert first.is_relative_to(project.folder / ".aws-sam" / "local-stack")
    assert other != first
    assert (other / "more.py").exists()


def test_the_cache_may_be_elsewhere(project: Project, tmp_path: Path) -> None:
    _add(_zip(project), "app.py")
    project.write(ZIPPED)

    template = load_template(project.path, {}, cache=tmp_path / "cache")

    assert template.functions["Hello"].code_dir.parent == tmp_path / "cache"


def test_programs_stay_executable(project: Project) -> None:
    program = zipfile.ZipInfo("run.sh")
    program.external_attr = (stat.S_IFREG | 0o755) << 16
    _add(_zip(project), program, "#!/bin/sh\n")

    code_dir = project.load(ZIPPED).functions["Hello"].code_dir

    assert (code_dir / "run.sh").stat().st_mode & 0o111


@pytest.mark.parametrize("name", ["../out.py", "/out.py", "a/../../out.py", "a\\..\\out.py"])
def test_an_entry_that_leads_out_of_the_archive_is_refused(project: Project, name: str) -> None:
    entry = zipfile.ZipInfo("x")
    entry.filename = name  # as a hostile archive has it, not as ZipInfo tidies it
    _add(_zip(project), entry, "bad")

    refusal = project.refusal(ZIPPED)

    assert "is a link, or leads out of the archive" in refusal
    assert refusal.startswith("template.yaml:7: Resources.Hello.Properties.CodeUri: code.zip: ")
    assert not list(project.folder.rglob("out.py"))


def test_a_link_in_an_archive_is_refused(project: Project) -> None:
    link = zipfile.ZipInfo("app.py")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    _add(_zip(project), link, "/etc/passwd")

    assert "is a link" in project.refusal(ZIPPED)


def test_an_archive_of_the_most_bytes_is_taken_and_one_byte_more_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "UNPACKED_BYTES_MAX", 100)
    path = _zip(project)
    _add(path, "a.py", "x" * 60)
    _add(path, "b.py", "x" * 40)
    assert project.load(ZIPPED).functions
    _add(path, "c.py", "x")

    assert "it holds more than 100 bytes" in project.refusal(ZIPPED)


def test_an_archive_of_too_many_entries_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "ENTRIES_MAX", 2)
    path = _zip(project)
    _add(path, "a.py")
    _add(path, "b.py")
    assert project.load(ZIPPED).functions
    _add(path, "c.py")

    assert "it has more than 2 entries" in project.refusal(ZIPPED)


def test_a_file_that_is_no_archive_is_refused_and_nothing_is_left_behind(project: Project) -> None:
    (project.folder / "code.zip").write_text("text")

    assert "code.zip: it cannot be unpacked" in project.refusal(ZIPPED)
    assert list((project.folder / ".aws-sam" / "local-stack").iterdir()) == []


def test_inline_code_is_index_py(project: Project) -> None:
    text = FUNCTION.replace("app.handler", "index.handler").replace(
        "CodeUri: code/", "InlineCode: |\n        def handler(event, context):\n          return 1"
    )

    function = project.load(text).functions["Hello"]

    assert function.handler == "index.handler"
    code = (function.code_dir / "index.py").read_text()
    assert code == "def handler(event, context):\n  return 1\n"


def test_without_a_code_uri_the_code_is_in_the_folder_of_the_template(project: Project) -> None:
    template = project.load(FUNCTION.replace("      CodeUri: code/\n", ""))

    assert template.functions["Hello"].code_dir == project.folder


def test_a_built_template_finds_code_and_layers_beside_itself(project: Project) -> None:
    build = project.folder / ".aws-sam" / "build"
    (build / "Hello").mkdir(parents=True)
    (build / "Library" / "python").mkdir(parents=True)
    path = build / "template.yaml"
    path.write_text(
        f"{FUNCTION.replace('code/', 'Hello')}      Layers: [!Ref Library]\n"
        "    Metadata: {SamResourceId: Hello}\n"
        "  Library:\n    Type: AWS::Serverless::LayerVersion\n"
        "    Properties: {ContentUri: Library}\n    Metadata: {BuildMethod: python3.11}\n"
    )

    function = load_template(path, {}).functions["Hello"]

    assert function.code_dir == build / "Hello"
    assert function.layer_paths == (build / "Library" / "python",)


# --- layers ----------------------------------------------------------------------------------

LAYERED = """\
  Library:
    Type: AWS::Serverless::LayerVersion
    Properties: {LayerName: !Sub "${AWS::StackName}-lib", ContentUri: library.zip}
"""


def test_a_layer_may_be_a_zip_file_with_packages_of_the_runtime(project: Project) -> None:
    path = _zip(project, "library.zip")
    _add(path, "python/own.py")
    _add(path, "python/lib/python3.11/site-packages/other.py")
    _add(path, "python/lib/python3.12/site-packages/wrong.py")

    template = project.load(f"{FUNCTION}      Layers: [!Ref Library]\n{LAYERED}")

    paths = template.functions["Hello"].layer_paths
    assert [str(p)[str(p).index("python") :] for p in paths] == [
        "python",
        "python/lib/python3.11/site-packages",
    ]


def test_a_condition_may_choose_a_layer(project: Project) -> None:
    (project.folder / "first").mkdir()
    before = "Conditions: {IsChosen: !Equals [a, a]}\n"
    text = (
        f"{before}{FUNCTION}      Layers: [!If [IsChosen, !Ref First, !Ref 'AWS::NoValue']]\n"
        "  First: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: first}}\n"
    )

    assert project.load(text).functions["Hello"].layer_paths == (project.folder / "first",)
    assert project.load(text.replace("[a, a]", "[a, b]")).functions["Hello"].layer_paths == ()


def test_five_layers_are_taken_and_a_sixth_is_refused(project: Project) -> None:
    (project.folder / "first").mkdir()
    layers = "".join(
        f"  L{i}: {{Type: AWS::Serverless::LayerVersion, Properties: {{ContentUri: first}}}}\n"
        for i in range(6)
    )

    def text(count: int) -> str:
        refs = ", ".join(f"!Ref L{i}" for i in range(count))
        return f"{FUNCTION}      Layers: [{refs}]\n{layers}"

    assert len(project.load(text(5)).functions["Hello"].layer_paths) == 5
    assert "a function has 5 layers at most" in project.refusal(text(6))
