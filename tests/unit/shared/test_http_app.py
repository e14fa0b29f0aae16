"""What every HTTP function does, shown on small ones: reading, answering, refusing, failing."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import Depends, Path, Query, Response
from fastapi.openapi.utils import get_openapi

from shared import settings
from shared.betting.model import Answer, Command, Id, Money
from shared.errors import InsufficientFunds, PostgresUnavailable
from shared.http_app import BODY_BYTES_MAX, IdempotencyKey, create_app, lambda_handler, problems
from tests.support.aws_events import FakeContext, http_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

USER = "31c13867-275d-4890-a097-5945199642e4"


class Order(Command):
    some_count: Decimal
    note: str = ""


class Receipt(Answer):
    some_money: Money
    note: str
    replayed: bool = False


@pytest.fixture(autouse=True)
def _function(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "UnderTest")
    settings.forget_settings()
    yield
    settings.forget_settings()


def post_app(answer: Callable[[Order, str | None], Any]) -> FastAPI:
    app = create_app("orders")

    @app.post("/orders/{userId}", responses=problems(InsufficientFunds))
    async def post_order(
        user_id: Annotated[Id, Path(alias="userId")],
        command: Order,
        key: IdempotencyKey = None,
    ) -> Receipt:
        assert user_id == USER
        received: Receipt = answer(command, key)
        return received

    return app


def call(app: FastAPI, method: str, path: str, **options: Any) -> dict[str, Any]:
    return lambda_handler(app)(http_event(method, path, request_id="r-1", **options), FakeContext())


def order(answer: Callable[[Order, str | None], Any], **options: Any) -> dict[str, Any]:
    return call(
        post_app(answer), "POST", f"/orders/{USER}", **{"body": {"someCount": 1}, **options}
    )


def accepted(command: Order, key: str | None) -> Receipt:
    return Receipt(some_money=Decimal("999989.50"), note=f"{command.some_count} {key}")


def test_an_answer_is_json_with_money_as_it_is() -> None:
    response = order(accepted, body='{"someCount":1.50}', headers={"idempotency-key": "k"})
    assert response["statusCode"] == 200
    assert response["headers"] == {"content-type": "application/json"}
    assert response["isBase64Encoded"] is False
    assert response["body"] == '{"someMoney":999989.50,"note":"1.50 k","replayed":false}'


def test_a_replayed_answer_says_so() -> None:
    response = order(lambda *_: Receipt(some_money=Decimal("1.00"), note="", replayed=True))
    assert response["headers"]["idempotent-replayed"] == "true"


def test_a_body_in_base64_is_read() -> None:
    assert order(accepted, body=b'{"someCount":2}')["statusCode"] == 200


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON ;charset=UTF-8"],
)
def test_json_is_taken_under_all_its_names(content_type: str) -> None:
    assert order(accepted, headers={"content-type": content_type})["statusCode"] == 200


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/jsonp", "application/x-www-form-urlencoded"]
)
def test_another_content_type_is_415(content_type: str) -> None:
    assert_problem(
        order(accepted, headers={"content-type": content_type}), 415, "content_type_unsupported"
    )


def test_no_content_type_is_415() -> None:
    event = http_event("POST", f"/orders/{USER}", body="{}")
    del event["headers"]["content-type"]
    assert_problem(lambda_handler(post_app(accepted))(event, FakeContext()), 415)


@pytest.mark.parametrize(
    "body", ["", "{", "[]", '{"someCount":1,"someCount":1}', b"\xff", "\ud800"]
)
def test_an_unreadable_body_is_400(body: object) -> None:
    assert_problem(order(accepted, body=body), 400, "body_malformed")


def test_a_body_at_the_limit_is_read_and_one_past_it_is_413() -> None:
    frame = '{"someCount":1,"note":""}'
    note = "x" * (BODY_BYTES_MAX - len(frame))
    at_limit = frame.replace('""', f'"{note}"')
    assert len(at_limit) == BODY_BYTES_MAX
    assert order(accepted, body=at_limit)["statusCode"] == 200
    assert_problem(order(accepted, body=at_limit + " "), 413, "payload_too_large")


def test_every_fault_is_named_with_a_pointer() -> None:
    response = call(
        post_app(accepted),
        "POST",
        "/orders/nobody",
        body={"some~count": 1, "a/b": 2},
        headers={"idempotency-key": "with space"},
    )
    problem = assert_problem(response, 422, "validation_failed")
    assert {fault["pointer"] for fault in problem["errors"]} == {
        "/someCount",
        "/some~0count",
        "/a~1b",
        "/userId",
        "/Idempotency-Key",
    }
    assert {"pointer": "/someCount", "message": "is missing"} in problem["errors"]


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "ü", "\t", "\x7f"])
def test_an_idempotency_key_that_is_none_is_422(key: str) -> None:
    problem = assert_problem(order(accepted, headers={"idempotency-key": key}), 422)
    assert problem["errors"][0]["pointer"] == "/Idempotency-Key"


@pytest.mark.parametrize("key", ["x", "x" * 255, "!~", "8e03978e-40d5-43e8-bc93-6894a57f9324"])
def test_an_idempotency_key_of_visible_ascii_is_taken(key: str) -> None:
    assert order(accepted, headers={"Idempotency-Key": key})["statusCode"] == 200


def test_an_error_is_a_problem_with_its_details() -> None:
    def refuse(*_: object) -> None:
        raise InsufficientFunds(currentBalance=Decimal("3.00"))

    response = order(refuse)
    assert '"currentBalance":3.00' in response["body"]
    assert_problem(response, 409, "insufficient_funds")
    assert "retry-after" not in response["headers"]


def test_an_error_that_passes_says_when_to_try_again() -> None:
    def fail(*_: object) -> None:
        raise PostgresUnavailable

    response = order(fail)
    assert_problem(response, 503, "postgres_unavailable")
    assert response["headers"]["retry-after"] == "1"


def test_a_defect_is_500_logged_and_counted_and_tells_nothing(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise LookupError("the password is hush")

    response = order(fail)
    problem = assert_problem(response, 500, "internal_error")
    assert "hush" not in response["body"]
    assert problem["instance"] == "urn:request:r-1"
    assert '"Defects":[1]' in capsys.readouterr().out
    assert not [record for record in caplog.records if record.name.startswith("mangum")]


def test_an_answer_that_cannot_be_rendered_is_a_defect() -> None:
    assert_problem(order(lambda *_: Receipt(some_money=Decimal("NaN"), note="")), 500)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/nowhere"), ("GET", f"/orders/{USER}"), ("POST", f"/orders/{USER}/"), ("PUT", "/")],
)
def test_an_unknown_path_or_method_is_404(method: str, path: str) -> None:
    assert_problem(call(post_app(accepted), method, path, body={}), 404, "route_not_found")


@pytest.mark.parametrize("host", ["a:b:c", "[::1]:8080", "", "x" * 5_000, "ü"])
def test_a_strange_host_does_no_harm(host: str) -> None:
    assert order(accepted, headers={"host": host})["statusCode"] == 200


@pytest.mark.parametrize("missing", ["headers", "rawQueryString", "isBase64Encoded", "rawPath"])
def test_optional_parts_of_the_event_may_be_missing(missing: str) -> None:
    app = create_app("things")

    @app.get("/things")
    async def get_things() -> Response:
        return Response("ok")

    event = http_event("GET", "/things")
    del event[missing]
    assert lambda_handler(app)(event, FakeContext())["body"] == "ok"


def test_query_parameters_have_defaults_and_limits() -> None:
    app = create_app("things")

    @app.get("/things")
    async def get_things(limit: Annotated[int, Query(ge=1, le=200)] = 50) -> Response:
        return Response(str(limit), media_type="text/plain")

    def ask(**query: object) -> dict[str, Any]:
        return call(app, "GET", "/things", query=query)

    assert [ask(limit=limit)["body"] for limit in (1, 200)] == ["1", "200"]
    assert ask()["body"] == "50"
    for wrong in (0, 201, -1, "x", "", "1.5", "9" * 5_000, "\0", "%"):
        problem = assert_problem(ask(limit=wrong), 422)
        assert problem["errors"][0]["pointer"] == "/limit"


def test_the_last_of_repeated_query_parameters_counts() -> None:
    app = create_app("things")

    @app.get("/things")
    async def get_things(limit: int = 50) -> Response:
        return Response(str(limit))

    event = http_event("GET", "/things")
    event["rawQueryString"] = "limit=1&limit=2&other=%ff"
    assert lambda_handler(app)(event, FakeContext())["body"] == "2"


def test_text_is_text_and_bytes_are_base64() -> None:
    app = create_app("things")

    @app.get("/{kind}")
    async def get_thing(kind: str) -> Response:
        return Response(b"\x00\xff", media_type="image/png" if kind == "image" else "text/plain")

    response = call(app, "GET", "/image")
    assert response["isBase64Encoded"] is True
    assert base64.b64decode(response["body"]) == b"\x00\xff"


def test_the_request_id_is_the_gateways_or_else_the_invocations() -> None:
    event = http_event("POST", "/nowhere", body={}, request_id="gateway-id")
    handler = lambda_handler(post_app(accepted))
    told = json.loads(handler(event, FakeContext())["body"])
    assert told["instance"] == "urn:request:gateway-id"
    del event["requestContext"]["requestId"]
    told = json.loads(handler(event, FakeContext(aws_request_id="own-id"))["body"])
    assert told["instance"] == "urn:request:own-id"


def test_the_api_description_tells_the_truth() -> None:
    app = post_app(accepted)
    paths = get_openapi(title="t", version="1", routes=app.routes)["paths"]
    described = paths["/orders/{userId}"]["post"]
    assert set(described["responses"]) == {"200", "400", "409", "413", "415", "422", "500"}
    refusal = described["responses"]["409"]
    assert "insufficient_funds" in refusal["description"]
    assert set(refusal["content"]) == {"application/problem+json"}


def test_a_function_serves_no_documentation() -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert_problem(call(post_app(accepted), "GET", path), 404)


def test_dependencies_are_refused_when_the_function_loads() -> None:
    app = create_app("things")
    with pytest.raises(AssertionError, match="signature"):

        @app.get("/things")
        async def get_things(thing: Annotated[int, Depends(lambda: 1)]) -> Response:
            return Response(str(thing))


def assert_problem(
    response: dict[str, Any], status: int, code: str | None = None
) -> dict[str, Any]:
    assert response["statusCode"] == status, response["body"]
    assert response["headers"]["content-type"] == "application/problem+json"
    assert response["isBase64Encoded"] is False
    problem: dict[str, Any] = json.loads(response["body"])
    assert problem.keys() >= {"type", "title", "status", "detail", "instance", "code"}
    assert problem["status"] == status
    assert code is None or problem["code"] == code
    return problem
