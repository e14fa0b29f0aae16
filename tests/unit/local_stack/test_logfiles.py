"""Reading logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local_stack import logfiles
from local_stack.errors import LocalStackError
from local_stack.settings import Settings, host_log_suffix
from local_stack.stack import tail

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = tmp_path / "logs" / "functions"
    folder.mkdir(parents=True)
    (folder / "PlaceBet.log").write_text("START\nEND\n")
    (folder.parent / "nginx.log").write_text("ready\n")
    return Settings(project_dir=tmp_path, stack_dir=tmp_path)


def test_logs_of_parts_and_functions_are_found_by_name(settings: Settings) -> None:
    assert set(logfiles.logs_of(settings, None)) == {"nginx", "PlaceBet"}
    assert set(logfiles.logs_of(settings, "PlaceBet")) == {"PlaceBet"}


def test_a_function_has_a_log_on_every_host(settings: Settings) -> None:
    (settings.log_dir / "functions" / f"PlaceBet{host_log_suffix(2)}.log").write_text("START\n")
    (settings.log_dir / "host-2.log").write_text("ready\n")
    assert host_log_suffix(1) == ""
    assert set(logfiles.logs_of(settings, "PlaceBet")) == {"PlaceBet", "PlaceBet.host-2"}
    assert set(logfiles.logs_of(settings, "host-2")) == {"host-2"}


def test_an_unknown_name_tells_the_known_ones(settings: Settings) -> None:
    with pytest.raises(LocalStackError, match="nginx, PlaceBet"):
        logfiles.logs_of(settings, "placebet")


def test_one_log_is_shown_as_it_is_and_several_with_their_names(settings: Settings) -> None:
    lines: list[str] = []
    logfiles.show(logfiles.logs_of(settings, "PlaceBet"), 1, lines.append)
    logfiles.show(logfiles.logs_of(settings, None), 1, lines.append)

    assert lines == ["END", "nginx | ready", "PlaceBet | END"]


def test_a_follower_sees_finished_lines_once_and_goes_through_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    path.write_text("old\n")
    follower = logfiles.Follower(path)
    seen = [follower.read()]
    with path.open("a") as file:
        file.write("one\ntw")
    seen.append(follower.read())
    with path.open("a") as file:
        file.write("o\n")
    seen.append(follower.read())
    with path.open("a") as file:
        file.write("last\n")
    path.rename(tmp_path / "part.log.1")
    seen.append(follower.read())
    path.write_text("new\n")
    seen.append(follower.read())
    follower.close()

    assert seen == [[], ["one"], ["two"], ["last"], ["new"]]


def test_what_was_written_before_a_rotation_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    path.write_text("old\n")
    follower = logfiles.Follower(path)
    with path.open("a") as file:
        file.write("last\n")
    path.rename(tmp_path / "part.log.1")
    path.write_text("new\n")

    assert follower.read() == ["last", "new"]
    follower.close()


def test_a_log_that_was_cut_short_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    path.write_text("a long line\n")
    follower = logfiles.Follower(path)
    path.write_text("short\n")

    assert follower.read() == ["short"]
    follower.close()


def test_logs_that_begin_while_they_are_followed_are_followed_too(settings: Settings) -> None:
    lines: list[str] = []

    def write(line: str) -> None:
        lines.append(line)
        raise KeyboardInterrupt

    found = iter([{}, *[{"New": settings.log_dir / "nginx.log"}] * 10])
    with pytest.raises(KeyboardInterrupt):
        logfiles.follow(lambda: next(found), write)

    assert lines == ["ready"]


def test_the_tail_of_a_missing_log_says_so(tmp_path: Path) -> None:
    assert tail(tmp_path / "none.log", 5) == "(it is empty)"


def test_the_tail_is_the_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("".join(f"{number}\n" for number in range(100)))

    assert tail(path, 2) == "98\n99"
