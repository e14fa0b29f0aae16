"""What is run on the emulator and on this runtime alike, and which rows it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

RESPONSE_BYTES_MAX = 6_291_556


@dataclass(frozen=True, slots=True)
class Scenario:
    """A function of tests/projects/runtime, an event for it, and the ids of rows."""

    function: str
    event: Any
    rows: tuple[str, ...]


SCENARIOS = (
    Scenario("Echo", {"text": "Zażółć", "number": 1.5, "none": None}, ()),
    Scenario("Literal", {"value": None}, ()),
    Scenario("Literal", {"value": ""}, ()),
    Scenario("Literal", {"value": 0}, ()),
    Scenario("Literal", {"value": []}, ()),
    Scenario("Literal", {"value": {"errorMessage": "not one", "errorType": "None"}}, ()),
    Scenario("Sized", {"bytes": RESPONSE_BYTES_MAX}, ()),
    Scenario("Sized", {"bytes": RESPONSE_BYTES_MAX + 1}, ()),
    Scenario("NotJson", {}, ()),
    Scenario("Raises", {"message": "no luck"}, ()),
    Scenario("Exits", {}, ()),
    Scenario("Exits", {"code": 3}, ()),
    Scenario("Exits", {"code": "a reason"}, ()),
    Scenario("ExitsHard", {"code": 127}, ()),
    Scenario("KillsItself", {"signal": 9}, ()),
    Scenario("KillsItself", {"signal": 11}, ()),
    Scenario("Hangs", {}, ()),
    Scenario("NoModule", {}, ()),
    Scenario("NoHandler", {}, ()),
    Scenario("FailsToImport", {}, ()),
    Scenario("ExitsAtImport", {}, ()),
    Scenario("SlowImport", {}, ()),
    Scenario("Context", {}, ()),
)
