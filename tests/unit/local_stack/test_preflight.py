"""What is checked before a start, and what it says."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from local_stack import preflight
from local_stack.errors import ServiceFailed, SettingsError
from local_stack.parts import Port
from local_stack.settings import Settings
from tests.support.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path


def test_another_python_is_refused_with_the_remedy() -> None:
    with pytest.raises(SettingsError, match=r"is Python 3\.12.*install python3\.11"):
        preflight.check_python((3, 12), "/usr/bin/python3.12")


def test_python_311_is_fine() -> None:
    preflight.check_python((3, 11), "/usr/bin/python3.11")


@pytest.mark.parametrize(
    ("system", "machine", "glibc", "said"),
    [
        ("Darwin", "arm64", None, "this is Darwin arm64"),
        ("Linux", "aarch64", (2, 36), "this is Linux aarch64"),
        ("Linux", "x86_64", (2, 27), "this system has 2.27"),
        ("Linux", "x86_64", None, "another C library"),
    ],
)
def test_another_platform_is_refused(
    system: str, machine: str, glibc: tuple[int, ...] | None, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        preflight.check_platform(system, machine, glibc)


def test_the_oldest_glibc_is_fine() -> None:
    preflight.check_platform("Linux", "x86_64", (2, 28))


def test_a_taken_port_names_its_owner_and_the_setting() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        number = taken.getsockname()[1]
        said = rf"port {number} is taken by .*\(pid {os.getpid()}\).*LOCAL_STACK_PORT_HTTP"
        with pytest.raises(SettingsError, match=said):
            preflight.check_ports([Port(number, "http")])


def test_a_port_for_two_parts_is_refused() -> None:
    number = free_port()
    with pytest.raises(SettingsError, match="is set for two parts"):
        preflight.check_ports([Port(number, "http"), Port(number, "kafka")])


def test_a_missing_shared_library_is_named_with_its_package(tmp_path: Path) -> None:
    program = tmp_path / "postgres"
    program.write_text(
        "#!/bin/sh\n"
        "echo postgres: error while loading shared libraries: libz.so.1: cannot open >&2\n"
        "exit 127\n"
    )
    program.chmod(0o700)

    with pytest.raises(ServiceFailed, match=r"library libz\.so\.1 is missing: install zlib1g"):
        preflight.check_program("PostgreSQL", program)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServiceFailed, match="Kafka cannot run"):
        preflight.check_program("Kafka", tmp_path / "tansu")


def test_a_folder_that_cannot_be_made_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = Settings(project_dir=tmp_path, stack_dir=tmp_path / "file" / ".stack")

    with pytest.raises(SettingsError, match=r"cannot write to .*LOCAL_STACK_DIR"):
        preflight.make_folders(settings, [])


def test_folders_are_closed_to_other_users(tmp_path: Path) -> None:
    settings = Settings(project_dir=tmp_path, stack_dir=tmp_path / ".stack")

    preflight.make_folders(settings, [])

    assert settings.stack_dir.stat().st_mode & 0o777 == 0o700


def test_this_machine_passes() -> None:
    preflight.check_machine()


def test_free_space_is_told_for_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    assert preflight.disk_free_bytes(tmp_path / "a" / "b") > 0


def test_what_reload_may_watch_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_INOTIFY", tmp_path)
    with pytest.raises(SettingsError, match="no inotify here"):
        preflight.inotify()
    (tmp_path / "max_user_instances").write_text("128\n")
    (tmp_path / "max_user_watches").write_text(f"{preflight.WATCHES_MIN}\n")
    assert preflight.inotify() == "max_user_watches 8192, max_user_instances 128"

    (tmp_path / "max_user_watches").write_text(f"{preflight.WATCHES_MIN - 1}\n")
    with pytest.raises(SettingsError, match=r"sysctl fs\.inotify\.max_user_watches"):
        preflight.inotify()


def test_the_machine_is_told() -> None:
    assert "CPUs" in preflight.machine()
    assert "tmp" in preflight.own_tmp() or "EphemeralStorage" in preflight.own_tmp()
