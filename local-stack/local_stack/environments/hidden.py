"""Packages that are here for the stack's own use are as absent for functions as they are on AWS.

Standard library only: a zygote and its forks use it.
"""

from __future__ import annotations

from pathlib import Path


class Hidden:
    """A finder that finds these packages nowhere.

    Otherwise a function could lean on them unnoticed, and clients that look for pandas would carry
    it along. A copy that the function brings itself stays visible.
    """

    def __init__(self, names: list[str], own: list[str]) -> None:
        self.names = [n for n in names if not any((Path(folder) / n).exists() for folder in own)]

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Refuse a hidden package; leave every other to the finders that follow."""
        if name in self.names:
            msg = f"No module named {name!r}"
            raise ModuleNotFoundError(msg, name=name)
