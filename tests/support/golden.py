"""The golden events in tests/events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EVENTS = Path(__file__).parents[1] / "events"


def golden(name: str) -> Any:
    """The event in file `name`."""
    return json.loads((EVENTS / name).read_text(encoding="utf-8"))
