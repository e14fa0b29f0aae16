"""Option values of the command line."""

from __future__ import annotations

import importlib.util

import pytest

from local_stack.command_options import debug_ports, join_overrides, parameter_overrides
from local_stack.errors import SettingsError


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["A=1"], {"A": "1"}),
        (["A=1 B=2", "C=x=y"], {"A": "1", "B": "2", "C": "x=y"}),
        (["A='two words'"], {"A": "two words"}),
        (["ParameterKey=A,ParameterValue=1,2"], {"A": "1,2"}),
        (["A="], {"A": ""}),
    ],
)
def test_overrides_are_read_as_sam_writes_them(written: list[str], read: dict[str, str]) -> None:
    assert parameter_overrides(written) == read


@pytest.mark.parametrize("written", ["A", "=1", "A=1 B", "A='1"])
def test_what_is_no_override_is_refused(written: str) -> None:
    with pytest.raises(SettingsError, match="--parameter-overrides"):
        parameter_overrides([written])


def test_several_values_may_follow_the_option() -> None:
    given = ["up", "--parameter-overrides", "A=1", "B=2", "--detach"]

    option = "--parameter-overrides"
    assert join_overrides(given) == ["up", option, "A=1", option, "B=2", "--detach"]
    assert join_overrides(["invoke", "Pay", "-e", "a=b"]) == ["invoke", "Pay", "-e", "a=b"]


def test_debug_ports_are_read_by_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)

    assert debug_ports(["Pay:5678", "Ship:5679"]) == {"Pay": 5678, "Ship": 5679}
    assert debug_ports([]) == {}
    for wrong in (["Pay"], ["Pay:"], [":1"], ["Pay:70000"], ["Pay:1", "Ship:1"]):
        with pytest.raises(SettingsError, match="--debug"):
            debug_ports(wrong)


def test_a_debugger_that_is_not_installed_is_said_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(SettingsError, match="pip install debugpy"):
        debug_ports(["Pay:5678"])
