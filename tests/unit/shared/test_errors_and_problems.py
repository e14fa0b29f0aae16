"""Every error has an answer, and no answer says more than it should."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from shared import errors
from shared.errors import BettingError, InsufficientFunds, PostgresUnavailable, RequestInProgress
from shared.json_text import render_json
from shared.problems import STATUS, defect, problem, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def _below(kind: type[BettingError]) -> Iterator[type[BettingError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _below(child)


OURS = sorted(
    {kind for kind in _below(BettingError) if kind.__module__ == errors.__name__},
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", OURS)
def test_every_error_has_a_row_of_its_own_family(kind: type[BettingError]) -> None:
    family = next(ancestor for ancestor in kind.__mro__ if ancestor in STATUS)
    assert family is not BettingError or kind is BettingError
    assert 400 <= status_of(kind).value < 600


@pytest.mark.parametrize("kind", OURS)
def test_every_error_is_a_complete_problem(kind: type[BettingError]) -> None:
    told = problem(kind(), "urn:request:1")
    assert {"type", "title", "status", "detail", "instance", "code"} <= told.keys()
    assert json.loads(render_json(told)) == told


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in OURS]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.BodyMalformed, 400),
        (errors.UserNotFound, 404),
        (errors.GameNotFound, 404),
        (errors.RouteNotFound, 404),
        (errors.InsufficientFunds, 409),
        (errors.UserNotActive, 409),
        (errors.GameNotOpen, 409),
        (errors.RequestInProgress, 409),
        (errors.BodyTooLarge, 413),
        (errors.ContentTypeUnsupported, 415),
        (errors.ValidationFailed, 422),
        (errors.IdempotencyKeyReused, 422),
        (errors.PostgresUnavailable, 503),
    ],
)
def test_status_is_that_of_the_contract(kind: type[BettingError], status: int) -> None:
    assert status_of(kind) == status


def test_the_docstring_tree_names_every_error() -> None:
    assert errors.__doc__ is not None
    missing = [kind.__name__ for kind in OURS if kind.__name__ not in errors.__doc__]
    assert missing == []


def test_details_are_members_of_the_problem() -> None:
    assert problem(InsufficientFunds(currentBalance="1.00"), "i")["currentBalance"] == "1.00"


def test_the_message_is_the_docstring_unless_given() -> None:
    assert str(InsufficientFunds()) == "The wallet holds less than the bet costs."
    assert str(InsufficientFunds("Too poor.")) == "Too poor."


def test_errors_that_pass_say_when_to_try_again() -> None:
    assert PostgresUnavailable().retry_after_s == 1
    assert RequestInProgress().retry_after_s == 1
    assert InsufficientFunds().retry_after_s is None


def test_a_defect_tells_nothing_internal() -> None:
    assert defect("urn:request:1")["status"] == 500
    assert defect("urn:request:1").keys() == problem(BettingError(), "i").keys()
