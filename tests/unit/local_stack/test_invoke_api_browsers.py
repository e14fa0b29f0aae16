"""What a web page could send never passes the door of the Lambda API."""

from __future__ import annotations

import pytest

from local_stack.triggers.invoke_api.browsers import FOREIGN, REFUSAL, Doorkeeper

HERE = {b"host": b"127.0.0.1:4566"}


@pytest.mark.parametrize(
    "host",
    [
        *(b"127.0.0.1", b"127.0.0.1:4566", b"localhost", b"LocalHost:80", b"[::1]", b"[::1]:4566"),
        *(b"lambda.localhost:4566", b"localhost.:4566"),
    ],
)
def test_loopback_by_its_names_is_let_in(host: bytes) -> None:
    door = Doorkeeper()

    assert [door.refusal({b"host": host}) for _ in range(2)] == ["", ""]


@pytest.mark.parametrize(
    "host",
    [
        *(
            b"evil.example",
            b"evil.example:4566",
            b"127.0.0.1.evil.example",
            b"localhost.evil.example",
        ),
        *(b"", b":4566", b"127.0.0.1@evil.example", b"127.0.0.1 ", b"0.0.0.0:4566", b"xlocalhost"),
        *(b"127.0.0.1:4566:80", b"\xff", b"host.docker.internal"),
    ],
)
def test_a_foreign_host_is_refused_again_and_again(host: bytes) -> None:
    door = Doorkeeper()

    assert [door.refusal({b"host": host}) for _ in range(2)] == [FOREIGN, FOREIGN]


def test_without_a_host_nobody_is_let_in() -> None:
    assert Doorkeeper().refusal({}) == FOREIGN


def test_names_that_a_person_allows_are_let_in_and_no_others() -> None:
    door = Doorkeeper(["Place-Bet", "host.docker.internal"])

    assert door.refusal({b"host": b"place-bet:4566"}) == ""
    assert door.refusal({b"host": b"host.docker.internal"}) == ""
    assert door.refusal({b"host": b"other:4566"}) == FOREIGN


@pytest.mark.parametrize(
    "origin", [b"https://evil.example", b"null", b"http://localhost:3000", b""]
)
def test_an_origin_is_refused_whatever_it_says(origin: bytes) -> None:
    assert Doorkeeper().refusal({**HERE, b"origin": origin}) == REFUSAL


@pytest.mark.parametrize(
    ("site", "answer"),
    [
        (b"cross-site", REFUSAL),
        (b"same-site", REFUSAL),  # another port of localhost is another project
        (b"something-new", REFUSAL),
        (b"none", ""),  # a person typed it
        (b"same-origin", ""),
    ],
)
def test_a_page_of_another_site_is_refused(site: bytes, answer: str) -> None:
    assert Doorkeeper().refusal({**HERE, b"sec-fetch-site": site}) == answer
