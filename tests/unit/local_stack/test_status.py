"""What `local-stack status` says of functions: the hosts' answers, summed and shown."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from local_stack.console import functions_table
from local_stack.parts import Part
from local_stack.settings import Settings
from local_stack.status import StackStatus, _part_status, read_functions, read_notes
from local_stack.supervisor import ProcessInfo

if TYPE_CHECKING:
    from pathlib import Path


def a_host(*states: str, **said: Any) -> dict[str, Any]:
    function = {
        "environments": [{"pid": 1, "state": state, "invocations": 3} for state in states],
        "waiting": 2,
        "limit": 20,
        "provisioned": 1,
        "invocations": 7,
        "cold_starts": 2,
        "throttles": 1,
        "events": 4,
    }
    return {"functions": {"Hello": function}, **said}


def test_hosts_are_summed_and_limits_are_each_hosts_own() -> None:
    [hello] = read_functions([a_host("ready", "busy"), a_host("busy", "cold"), {}])

    assert hello.states == {"ready": 1, "busy": 2, "cold": 1}
    assert hello.environments == 4
    assert (hello.limit, hello.provisioned) == (20, 1)
    assert (hello.waiting, hello.events) == (4, 8)
    assert (hello.invocations, hello.cold_starts, hello.throttles) == (14, 4, 2)


def test_the_table_shows_states_and_what_is_not_limited() -> None:
    host = a_host("ready", "busy", "busy")
    host["functions"]["Hello"]["limit"] = None
    console = Console(width=200, file=io.StringIO())

    with console.capture() as captured:
        console.print(functions_table(read_functions([host])))

    line = captured.get().splitlines()[1].split()
    assert line[:5] == ["Hello", "2", "busy,", "1", "ready"]
    assert line[5:] == ["2", "4", "-", "1", "7", "2", "1"]


def test_a_changed_template_and_a_reload_that_is_off_are_noted(tmp_path: Path) -> None:
    settings = Settings(project_dir=tmp_path, stack_dir=tmp_path)
    hosts = [
        a_host(reload="on", template_changed=False),
        a_host(reload="off: no watch left", template_changed=True),
    ]

    assert read_notes(settings, hosts) == [
        "template.yaml has changed: `local-stack down`, then `up`, to apply it",
        "reload is off: no watch left",
    ]
    assert read_notes(settings, [a_host(), a_host(reload="on")]) == []


def test_the_json_has_the_number_of_environments_and_the_notes() -> None:
    status = StackStatus(True, [], read_functions([a_host("ready", "cold")]), ["look"])

    assert '"environments": 2' in status.as_json()
    assert '"notes"' in status.as_json()


@pytest.mark.parametrize(
    ("manager", "is_ready", "said"),
    [
        ("RUNNING", True, "ready"),
        ("RUNNING", False, "not ready"),
        ("STARTING", True, "ready"),  # it is called so for a second, however ready it is
        ("STARTING", False, "starting"),
        ("STOPPED", True, "stopped"),
        ("BACKOFF", False, "backing off"),
    ],
)
def test_a_part_is_ready_when_it_answers(
    tmp_path: Path, manager: str, is_ready: bool, said: str
) -> None:
    settings = Settings(project_dir=tmp_path, stack_dir=tmp_path)
    part = Part("kafka", "Kafka", (), "127.0.0.1:1", lambda: is_ready, tmp_path)

    status = _part_status(settings, part, ProcessInfo(manager, 0, 1.0, ""))

    assert status.state == said
