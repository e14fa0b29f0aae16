"""CORS as the gateway answers it."""

from __future__ import annotations

import pytest

from local_stack.http1 import HttpResponse
from local_stack.model import Cors
from local_stack.triggers.http.cors import (
    allowed_origin,
    is_preflight,
    preflight,
    rest_preflight,
    with_cors,
)

_ASKS = {"origin": "https://a.example", "access-control-request-method": "PUT"}


@pytest.mark.parametrize(
    ("allowed", "origin", "answer"),
    [
        (("*",), "https://a.example", "*"),
        (("https://a.example",), "https://a.example", "https://a.example"),
        (("https://a.example",), "https://a.example:444", None),
        (("https://a.example",), "https://A.example", None),
        (("https://*",), "https://a.example", "https://a.example"),
        (("https://*",), "http://a.example", None),
        (("http://*", "https://*"), "https://a.example", "https://a.example"),
        ((), "https://a.example", None),
        (("https://a.*.example",), "https://a.b.example", None),  # only the end may be open
        (("https://a.example",), "null", None),
    ],
)
def test_an_origin_is_allowed_by_name_or_by_its_beginning(
    allowed: tuple[str, ...], origin: str, answer: str | None
) -> None:
    assert allowed_origin(Cors(allow_origins=allowed), origin) == answer


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("OPTIONS", _ASKS, True),
        ("GET", _ASKS, False),
        ("OPTIONS", {"origin": "https://a.example"}, False),
        ("OPTIONS", {"access-control-request-method": "PUT"}, False),
    ],
)
def test_a_preflight_names_an_origin_and_a_method(
    method: str, headers: dict[str, str], *, expected: bool
) -> None:
    assert is_preflight(method, headers) is expected


def test_a_preflight_is_answered_with_all_that_is_configured() -> None:
    cors = Cors(("https://*",), ("PUT", "*"), ("x-a", "*"), ("x-b",), 60, allow_credentials=True)

    response = preflight(cors, _ASKS | {"access-control-request-headers": "x-whatever"})

    assert response == HttpResponse(
        204,
        [
            (b"access-control-allow-origin", b"https://a.example"),
            (b"access-control-allow-methods", b"PUT,*"),
            (b"access-control-allow-headers", b"x-a,*"),
            (b"access-control-max-age", b"60"),
            (b"access-control-expose-headers", b"x-b"),
            (b"access-control-allow-credentials", b"true"),
        ],
    )


def test_an_api_that_names_no_methods_and_headers_leaves_them_to_the_browser() -> None:
    response = preflight(Cors(("*",)), _ASKS | {"access-control-request-headers": "x-a"})

    assert response.headers == [(b"access-control-allow-origin", b"*")]


@pytest.mark.parametrize(
    "asked",
    [
        {"origin": "http://a.example"},
        {"access-control-request-method": "DELETE"},
        {"access-control-request-headers": "x-a, x-b"},
    ],
)
def test_what_is_not_allowed_in_one_point_is_not_answered_in_any(asked: dict[str, str]) -> None:
    cors = Cors(("https://a.example",), ("put",), ("X-A",))

    assert preflight(cors, _ASKS).headers != []
    assert preflight(cors, _ASKS | asked) == HttpResponse(204)


@pytest.mark.parametrize(("keep", "kept"), [(False, []), (True, [b"mine"])])
def test_the_functions_own_headers_are_ignored_or_kept(kept: list[bytes], *, keep: bool) -> None:
    response = HttpResponse(200, [(b"x", b"y"), (b"access-control-allow-origin", b"mine")], b"body")

    found = with_cors(Cors(("*",)), {"origin": "https://a.example"}, response, keep=keep)

    origins = [value for name, value in found.headers if name == b"access-control-allow-origin"]
    assert origins == [*kept, b"*"]
    assert (found.status, found.body, found.headers[0]) == (200, b"body", (b"x", b"y"))


def test_sams_preflight_names_the_methods_of_the_path_unless_the_template_does() -> None:
    assert dict(rest_preflight(Cors(), ["POST", "GET"]).headers) == {
        b"content-type": b"application/json",
        b"access-control-allow-origin": b"*",
        b"access-control-allow-methods": b"GET,OPTIONS,POST",
    }
    named = rest_preflight(Cors(allow_methods=("GET",), allow_credentials=True), ["ANY"])
    assert dict(named.headers)[b"access-control-allow-methods"] == b"GET"
    assert dict(named.headers)[b"access-control-allow-credentials"] == b"true"
