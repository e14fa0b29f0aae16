"""Which route a request goes to: HTTP API's order."""

from __future__ import annotations

import pytest

from local_stack.triggers.http.routes import Router
from tests.support.functions import a_function


def _route(routes: tuple[str, ...], method: str, path: str) -> tuple[str, dict[str, str]] | None:
    """The key and the variables of the route that is chosen; every route is its own function."""
    router = Router(a_function(f"F{number}", route) for number, route in enumerate(routes))
    match = router.match(method, path)
    return None if match is None else (match.route.key, dict(match.path_parameters or {}))


# The example of the API Gateway developer guide, "Routes for HTTP APIs".
GUIDE = (
    "GET /pets/dog/1",
    "GET /pets/dog/{id}",
    "GET /pets/{proxy+}",
    "ANY /{proxy+}",
    "$default",
)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/pets/dog/1", ("GET /pets/dog/1", {})),
        ("GET", "/pets/dog/2", ("GET /pets/dog/{id}", {"id": "2"})),
        ("GET", "/pets/cat/1", ("GET /pets/{proxy+}", {"proxy": "cat/1"})),
        ("POST", "/test/5", ("ANY /{proxy+}", {"proxy": "test/5"})),
        ("POST", "/pets/dog/1", ("ANY /{proxy+}", {"proxy": "pets/dog/1"})),
        ("GET", "/", ("$default", {})),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_the_guides_example_is_routed_as_it_says(
    method: str, path: str, expected: object, *, reverse: bool
) -> None:
    routes = tuple(reversed(GUIDE)) if reverse else GUIDE

    assert _route(routes, method, path) == expected


@pytest.mark.parametrize(
    ("routes", "method", "path", "expected"),
    [
        (("GET /a",), "GET", "/a", ("GET /a", {})),
        (("GET /a",), "POST", "/a", None),
        (("GET /a",), "HEAD", "/a", None),
        (("GET /a",), "GET", "/a/", None),
        (("GET /a",), "GET", "/A", None),
        (("GET /a",), "GET", "//a", None),
        (("GET /a",), "GET", "", None),
        (("ANY /a",), "DELETE", "/a", ("ANY /a", {})),
        (("ANY /a",), "PROPFIND", "/a", ("ANY /a", {})),
        (("ANY /a", "GET /a"), "GET", "/a", ("GET /a", {})),
        (("ANY /a", "GET /a"), "PUT", "/a", ("ANY /a", {})),
        (("$default",), "POST", "/anything", ("$default", {})),
        (("GET /{a}",), "GET", "/x", ("GET /{a}", {"a": "x"})),
        (("GET /{a}",), "GET", "/", None),
        (("GET /{a}",), "GET", "/x/y", None),
        (("GET /{a}/b",), "GET", "/x/b", ("GET /{a}/b", {"a": "x"})),
        (("GET /{a}/b",), "GET", "/x/c", None),
        (("GET /{a}/{b}",), "GET", "/x/y", ("GET /{a}/{b}", {"a": "x", "b": "y"})),
        (("GET /{p+}",), "GET", "/x/y/z", ("GET /{p+}", {"p": "x/y/z"})),
        (("GET /{p+}",), "GET", "/x/", ("GET /{p+}", {"p": "x/"})),
        (("GET /a/{p+}",), "GET", "/a", None),
        (("GET /a/{p+}",), "GET", "/a/", None),
        (("GET /{a}", "GET /{p+}"), "GET", "/x", ("GET /{a}", {"a": "x"})),
        (("GET /a/{b}", "GET /{a}/b"), "GET", "/a/b", ("GET /a/{b}", {"b": "b"})),
        # A full match comes before a greedy one, whatever says the method more exactly.
        (("GET /{p+}", "ANY /a/{b}"), "GET", "/a/1", ("ANY /a/{b}", {"b": "1"})),
        (("ANY /{b}", "GET /{c}"), "GET", "/1", ("GET /{c}", {"c": "1"})),
        (("ANY /{b}", "GET /{c}"), "PUT", "/1", ("ANY /{b}", {"b": "1"})),
    ],
)
def test_a_request_takes_the_most_specific_route(
    routes: tuple[str, ...], method: str, path: str, expected: object
) -> None:
    assert _route(routes, method, path) == expected


@pytest.mark.parametrize(
    ("segment", "value"),
    [
        ("a%20b", "a b"),
        ("a%2Fb", "a/b"),
        ("%C3%A9", "é"),
        ("%ff", "\N{REPLACEMENT CHARACTER}"),
        ("100%", "100%"),
        ("a+b", "a+b"),
        ("..", ".."),
        ("é".encode().decode("latin-1"), "é".encode().decode("latin-1")),
    ],
)
def test_a_variable_is_decoded_once_and_never_splits_the_path(segment: str, value: str) -> None:
    assert _route(("GET /x/{a}/y",), "GET", f"/x/{segment}/y") == (
        "GET /x/{a}/y",
        {"a": value},
    )


def test_an_encoded_path_is_not_the_exact_one() -> None:
    assert _route(("GET /a",), "GET", "/%61") is None


def test_a_match_names_its_function() -> None:
    one, two = a_function("One", "GET /one"), a_function("Two", "GET /two", "GET /too")
    router = Router([one, two])

    match = router.match("GET", "/too")

    assert match is not None
    assert match.function is two
