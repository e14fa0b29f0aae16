"""Which route a request goes to: HTTP API's order."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from local_stack.model import Api, Cors, Route
from local_stack.triggers.http.routes import Router, shown_path
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


# --- several APIs, and stages ----------------------------------------------------------------


def _router(*apis: tuple[str, str, tuple[str, ...], Literal["http", "rest"]]) -> Router:
    """A router of APIs by id, stage, routes and kind; each API has a function of its name."""
    functions = []
    for api_id, _, routes, _ in apis:
        function = a_function(api_id, *routes)
        moved = tuple(replace(route, api=api_id) for route in function.routes)
        functions.append(replace(function, routes=moved))
    return Router(functions, {name: Api(name, kind, stage) for name, stage, _, kind in apis})


def _answers(router: Router, path: str, method: str = "GET", api_id: str = "") -> str | None:
    match = router.match(method, path, api_id)
    return None if match is None else f"{match.target.api.id} {shown_path(match)}"


def test_a_named_stage_answers_under_its_name_and_bare() -> None:
    router = _router(("A", "dev", ("GET /a", "GET /"), "http"))

    assert _answers(router, "/dev/a") == "A /dev/a"
    assert _answers(router, "/a") == "A /dev/a"  # what the function sees is the same
    assert _answers(router, "/dev") == _answers(router, "/dev/") == "A /dev/"
    assert _answers(router, "/other/a") is None


def test_a_rest_api_shows_the_path_without_its_stage() -> None:
    router = _router(("A", "Prod", ("GET /a/{b}", "GET /plain"), "rest"))

    assert _answers(router, "/Prod/a/x%20y") == _answers(router, "/a/x%20y") == "A /a/x%20y"
    assert _answers(router, "/Prod/a/x/") == "A /a/x/"  # a slash at the end is nothing to it
    assert _answers(router, "/Prod/plain/") == "A /plain/"


@pytest.mark.parametrize(
    ("path", "proxy"), [("/a/b", "a/b"), ("/a/b/", "a/b"), ("/a%2Bb+c", "a%2Bb+c")]
)
def test_a_rest_api_leaves_variables_encoded_and_drops_the_last_slash(
    path: str, proxy: str
) -> None:
    router = _router(("A", "Prod", ("GET /{proxy+}",), "rest"))

    match = router.match("GET", path)

    assert match is not None
    assert (match.path, match.path_parameters) == (path, {"proxy": proxy})


def test_a_bare_path_that_two_stages_would_like_is_nobodys() -> None:
    router = _router(
        ("A", "dev", ("GET /a/{x}", "GET /only"), "http"), ("B", "prod", ("GET /a/{y}",), "rest")
    )

    assert _answers(router, "/a/1") is None
    assert _answers(router, "/dev/a/1") == "A /dev/a/1"
    assert _answers(router, "/prod/a/1") == "B /a/1"
    assert _answers(router, "/only") == "A /dev/only"
    assert router.warnings == []


def test_a_default_stage_keeps_its_paths_to_itself() -> None:
    router = _router(
        ("A", "$default", ("GET /a",), "http"), ("B", "dev", ("ANY /a", "GET /a"), "http")
    )

    assert _answers(router, "/a") == "A /a"
    assert _answers(router, "/dev/a") == "B /dev/a"


def test_of_two_apis_at_one_address_the_first_answers_and_a_warning_says_so() -> None:
    router = _router(("A", "$default", ("GET /a",), "http"), ("B", "$default", ("GET /a",), "http"))

    assert _answers(router, "/a") == "A /a"
    assert _answers(router, "/a", api_id="b") == "B /a"
    (warning,) = router.warnings
    assert "GET /a is a route of A and of B" in warning
    assert "Host: b.execute-api.localhost" in warning


def test_the_host_names_an_api_with_or_without_the_stage() -> None:
    router = _router(("A", "dev", ("GET /a",), "http"), ("B", "dev", ("GET /b",), "http"))

    assert (
        _answers(router, "/dev/a", api_id="a") == _answers(router, "/a", api_id="a") == "A /dev/a"
    )
    assert _answers(router, "/b", api_id="a") is None
    assert _answers(router, "/a", api_id="nobody") is None


@pytest.mark.parametrize(
    ("path", "nearest"),
    [("/prod/x", "B"), ("/prod/b", "B"), ("/b", "B"), ("/a", "A"), ("/x", "A"), ("/", "A")],
)
def test_a_request_without_a_route_was_meant_for_the_nearest_api(path: str, nearest: str) -> None:
    router = _router(("A", "$default", ("POST /a",), "http"), ("B", "prod", ("POST /b",), "rest"))

    api = router.nearest(path)

    assert api is not None
    assert api.id == nearest


def test_an_api_that_nothing_describes_is_sams_implicit_one() -> None:
    function = replace(a_function(), routes=(Route("GET", "/a", api="ServerlessRestApi"),))

    match = Router([function]).match("GET", "/Prod/a")

    assert match is not None
    assert (match.target.api.kind, match.target.api.stage) == ("rest", "Prod")


def test_the_methods_of_a_path_are_told_apart_by_api() -> None:
    router = _router(("A", "prod", ("GET /a", "POST /a", "PUT /{x}"), "rest"))

    assert router.methods_at("/prod/a", router.apis["A"]) == ["GET", "POST", "PUT"]
    assert router.methods_at("/a", router.apis["A"]) == ["GET", "POST", "PUT"]
    assert router.methods_at("/prod/b/c", router.apis["A"]) == []


@pytest.mark.parametrize(
    ("kind", "method", "plain"),
    [("http", "GET", False), ("rest", "GET", True), ("rest", "ANY", False)],
)
def test_cors_takes_a_route_off_the_short_way_only_where_it_matters(
    kind: Literal["http", "rest"], method: str, *, plain: bool
) -> None:
    function = replace(a_function(), routes=(Route(method, "/a", api="A"),))

    match = Router([function], {"A": Api("A", kind, cors=Cors())}).match("GET", "/a")

    assert match is not None
    assert match.target.plain is plain
