"""The process manager's configuration file."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from local_stack.errors import SettingsError
from local_stack.parts import Part
from local_stack.settings import Settings
from local_stack.supervisor import SOCKET_PATH_BYTES_MAX, Supervisor, render_config


def _settings(folder: Path) -> Settings:
    return Settings(project_dir=folder, stack_dir=folder)


def _part(folder: Path) -> Part:
    return Part(
        name="store",
        title="Store",
        command=("/bin/store", "--data", str(folder / "100% data")),
        address="",
        is_ready=lambda: True,
        folder=folder,
        stop_signal="INT",
        death_signal="KILL",
    )


def test_a_part_is_restarted_for_ever_and_dies_with_the_manager() -> None:
    folder = Path("/stack")

    text = render_config(_settings(folder), [_part(folder)], folder / "s", folder / "p")

    section = _parsed(text)["program:store"]
    assert section["autorestart"] == "true"
    assert section["stopsignal"] == "INT"
    assert "--signal KILL" in section["command"]
    assert int(section["startretries"]) > 1000


def test_percent_signs_and_spaces_in_paths_survive() -> None:
    folder = Path("/a b")

    text = render_config(_settings(folder), [_part(folder)], folder / "s", folder / "p")

    assert "'/a b/100%% data'" in _parsed(text)["program:store"]["command"]


def test_logs_rotate_at_the_named_size() -> None:
    folder = Path("/stack")
    settings = Settings.model_validate(
        {"project_dir": folder, "stack_dir": folder, "limits": {"log_file_bytes": 5000}}
    )

    sections = _parsed(render_config(settings, [_part(folder)], folder / "s", folder / "p"))

    assert sections["program:store"]["stdout_logfile_maxbytes"] == "5000"
    assert sections["supervisord"]["logfile_maxbytes"] == "5000"


def test_a_folder_at_the_limit_of_a_socket_path_is_fine_and_one_past_it_is_not() -> None:
    name = "/run/supervisor.sock"
    longest = "/" + "a" * (SOCKET_PATH_BYTES_MAX - len(name) - 1)

    Supervisor(_settings(Path(longest))).check_folder()

    with pytest.raises(SettingsError, match="1 bytes too long for a Unix socket"):
        Supervisor(_settings(Path(longest + "a"))).check_folder()


def test_a_folder_that_reads_like_a_comment_is_refused() -> None:
    with pytest.raises(SettingsError, match="reads like a comment"):
        Supervisor(_settings(Path("/my #stack"))).check_folder()


def _parsed(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(text)
    return parser
