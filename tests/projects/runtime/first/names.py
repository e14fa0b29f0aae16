"""A module that the other function has too."""

from __future__ import annotations

NAME = "first"
