"""Remembers topics on disk, because the broker forgets them when it stops."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class RememberedTopics:
    """Topic name → number of partitions, in a JSON file that is always whole.

    A topic that is remembered keeps its number for ever: a broker that came back empty may show it
    with another one, because a client asked for it first and it was auto-created.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._topics = _read(path)

    @property
    def topics(self) -> dict[str, int]:
        """What the broker should have."""
        return dict(self._topics)

    def wrong_in(self, present: Mapping[str, int]) -> dict[str, int]:
        """Remembered topics that are there with another number of partitions."""
        return {
            name: present[name]
            for name, partitions in self._topics.items()
            if name in present and present[name] != partitions
        }

    def update(self, present: Mapping[str, int]) -> bool:
        """Learn from a broker that has all of them: new topics, and deleted ones; whether any."""
        learnt = {name: self._topics.get(name, count) for name, count in present.items()}
        if learnt == self._topics:
            return False
        self._topics = learnt
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_suffix(".new")
        unfinished.write_text(json.dumps(learnt, indent=2, sort_keys=True) + "\n")
        unfinished.replace(self._path)
        return True


def _read(path: Path) -> dict[str, int]:
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(document, dict):
        return {}
    return {str(name): int(count) for name, count in document.items() if isinstance(count, int)}
