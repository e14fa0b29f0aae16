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
    Scenario(
        "Echo",
        {"text": "Zażółć", "number": 1.5, "none": None},
        ("invoke-request-response", "result-byte-for-byte"),
    ),
    Scenario("Literal", {"value": None}, ("empty-results",)),
    Scenario("Literal", {"value": ""}, ()),
    Scenario("Literal", {"value": 0}, ()),
    Scenario("Literal", {"value": []}, ()),
    Scenario(
        "Literal",
        {"value": {"errorMessage": "not one", "errorType": "None"}},
        ("invoke-error-by-route", "errors-by-route"),
    ),
    Scenario("Sized", {"bytes": RESPONSE_BYTES_MAX}, ()),
    Scenario("Sized", {"bytes": RESPONSE_BYTES_MAX + 1}, ("response-too-large",)),
    Scenario("NotJson", {}, ("result-no-json",)),
    Scenario("Raises", {"message": "no luck"}, ("exception-body",)),
    Scenario("Exits", {}, ("sys-exit",)),
    Scenario("Exits", {"code": 3}, ()),
    Scenario("Exits", {"code": "a reason"}, ()),
    Scenario("ExitsHard", {"code": 127}, ()),
    Scenario("KillsItself", {"signal": 9}, ("crash-by-signal",)),
    Scenario("KillsItself", {"signal": 11}, ()),
    Scenario("Hangs", {}, ("timeout-body",)),
    Scenario("NoModule", {}, ("import-error",)),
    Scenario("NoHandler", {}, ("init-errors-of-each-kind",)),
    Scenario("FailsToImport", {}, ()),
    Scenario("ExitsAtImport", {}, ("init-exit-names-the-request",)),
    Scenario("SlowImport", {}, ()),
    Scenario("Context", {}, ("next-headers",)),
)
