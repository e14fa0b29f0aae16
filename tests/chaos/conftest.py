"""Chance, with a seed that is always the same where a test does not want another."""

from __future__ import annotations

import random

import pytest


@pytest.fixture
def rng() -> random.Random:
    """Chance that can be repeated."""
    return random.Random(20261125)
