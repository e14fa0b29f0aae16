"""Reads the values of command line options that are more than a text or a number."""

from __future__ import annotations

import importlib.util
import re
import shlex
from typing import TYPE_CHECKING

from local_stack.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

OVERRIDES = "--parameter-overrides"
_PAIR = re.compile(r"([A-Za-z0-9]+)=(.*)", re.DOTALL)
_LONG_PAIR = re.compile(r"ParameterKey=([A-Za-z0-9]+),ParameterValue=(.*)", re.DOTALL)


def join_overrides(arguments: Sequence[str]) -> list[str]:
    """SAM CLI takes any number of values behind `--parameter-overrides`; ours takes one each time.

    `--parameter-overrides A=1 B=2` becomes `--parameter-overrides A=1 --parameter-overrides B=2`.
    """
    joined: list[str] = []
    several = False
    for argument in arguments:
        if argument.startswith("-"):
            several = False
        elif several and _PAIR.match(argument) and joined[-1] != OVERRIDES:
            joined.append(OVERRIDES)
        joined.append(argument)
        several = several or argument == OVERRIDES
    return joined


def parameter_overrides(items: Sequence[str]) -> dict[str, str]:
    """Template parameters from `Name=Value` or SAM's `ParameterKey=Name,ParameterValue=Value`.

    One item may hold several, separated by spaces; quotes keep a space in a value. Raises
    `SettingsError` for what is neither.
    """
    found: dict[str, str] = {}
    for item in items:
        try:
            words = shlex.split(item)
        except ValueError as error:
            msg = f"{OVERRIDES} {item!r}: {error}"
            raise SettingsError(msg) from error
        for word in words:
            pair = _LONG_PAIR.fullmatch(word) or _PAIR.fullmatch(word)
            if pair is None:
                msg = f"{OVERRIDES} {word!r}: write Name=Value, or \"Name='a value'\" for one with spaces"
                raise SettingsError(msg)
            found[pair[1]] = pair[2]
    return found


def debug_ports(items: Sequence[str]) -> dict[str, int]:
    """Ports by function, from `NAME:PORT`. Raises `SettingsError`; debugpy has to be installed."""
    ports: dict[str, int] = {}
    for item in items:
        name, _, port = item.rpartition(":")
        if not name or not port.isdigit() or not 1 <= int(port) <= 65535:
            msg = f"--debug {item!r}: write NAME:PORT, such as PlaceBet:5678"
            raise SettingsError(msg)
        if int(port) in ports.values():
            msg = f"--debug {item!r}: another function has that port"
            raise SettingsError(msg)
        ports[name] = int(port)
    if ports and importlib.util.find_spec("debugpy") is None:
        msg = "--debug needs debugpy, which is not installed here: `pip install debugpy` into this environment"
        raise SettingsError(msg)
    return ports
