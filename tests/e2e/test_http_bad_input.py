"""Whatever is wrong with a request: it gets the answer of docs/http-api.md and changes nothing."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from tests.support.bad_bodies import (
    CLOSED,
    CLOSED_GAME,
    FULL,
    JSON,
    POOR,
    RICH,
    SETTLED_GAME,
    SUSPENDED,
    Case,
    bet,
    post_bet,
)
from tests.support.bad_requests import CASES, USED_KEY
from tests.support.betting import add_user
from tests.support.raw_http import exchange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.betting import Platform

pytestmark = pytest.mark.e2e

INTERNAL = (b"Traceback", b"psycopg", b"SELECT", b"site-packages", b".py", b"nginx")


@pytest.fixture(scope="module")
def prepared(platform: Platform) -> Iterator[Platform]:
    """The platform with the people and games of the cases, and one bet under `USED_KEY`."""
    with platform.database.transaction():
        for user_id, balance, status in (
            (RICH, "1000000.00", "active"),
            (POOR, "10.49", "active"),
            (SUSPENDED, "100.00", "suspended"),
            (CLOSED, "100.00", "closed"),
            (FULL, "999999999999.99", "active"),
        ):
            add_user(platform.database, user_id, balance, status)
        for game_id, status in ((CLOSED_GAME, "closed"), (SETTLED_GAME, "settled")):
            platform.database.execute(
                "INSERT INTO games (id, name, type, status, starts_at)"
                " VALUES (%s, 'Over', 'football', %s, now()) ON CONFLICT DO NOTHING",
                [game_id, status],
            )
    used = post_bet(bet(), {**JSON, "Idempotency-Key": USED_KEY})
    assert exchange(platform.stack.ports["http"], used).status == 200
    yield platform
    platform.audit()


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_bad_input_gets_its_problem_and_changes_nothing(prepared: Platform, case: Case) -> None:
    before = prepared.everything()

    answer = exchange(prepared.stack.ports["http"], case.data)

    assert answer.status == case.status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json
    errors = problem.pop("errors", [])
    assert problem == {
        "type": f"urn:problem:{case.code.replace('_', '-')}",
        "title": HTTPStatus(case.status).phrase,
        "status": case.status,
        "detail": problem["detail"],
        "instance": f"urn:request:{answer.headers['X-Request-Id']}",
        "code": case.code,
        **case.members,
    }
    assert problem["detail"].endswith(".")
    assert [error["pointer"] for error in errors] == list(case.pointers)
    assert all(set(error) == {"pointer", "message"} and error["message"] for error in errors)
    assert not any(word in answer.body for word in INTERNAL)
    assert prepared.everything() == before


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
