"""What authorizer functions answer: simple answers and IAM policies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_stack.triggers.http.policy import (
    POLICY_STATEMENTS_MAX,
    MalformedAnswer,
    execute_api_arn,
    read_answer,
)

ARN = execute_api_arn("shop", "dev", "GET", "/orders/7")


def _statement(**fields: Any) -> dict[str, Any]:
    return {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": ARN, **fields}


def _answer(*statements: Any, **fields: Any) -> bytes:
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    return json.dumps({"principalId": "me", "policyDocument": document, **fields}).encode()


def _verdict(*statements: Any) -> str:
    return read_answer(_answer(*statements), simple=False, rest=False).verdict(ARN)


def test_the_arn_of_a_route_is_execute_apis() -> None:
    assert ARN == "arn:aws:execute-api:us-east-1:000000000000:shop/dev/GET/orders/7"


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({}, "allow"),
        ({"Effect": "Deny"}, "deny"),
        ({"Resource": "*"}, "allow"),
        ({"Resource": [ARN + "/items", ARN]}, "allow"),
        ({"Resource": ARN + "/items"}, "none"),
        ({"Resource": ARN.replace("/7", "/*")}, "allow"),
        ({"Resource": ARN.replace("/7", "/?")}, "allow"),
        ({"Resource": ARN.replace("/7", "/??")}, "none"),
        ({"Resource": "arn:aws:execute-api:*:*:shop/*/*"}, "allow"),  # `*` goes over slashes
        ({"Resource": ARN.replace("GET", "POST")}, "none"),
        ({"Resource": ARN.replace("orders", "o.ders")}, "none"),  # a dot is a dot
        ({"Action": "execute-api:*"}, "allow"),
        ({"Action": ["s3:GetObject", "EXECUTE-API:invoke"]}, "allow"),
        ({"Action": "lambda:InvokeFunction"}, "none"),
        ({"Action": []}, "none"),
        ({"Resource": 7}, "none"),
    ],
)
def test_a_statement_is_about_actions_and_resources(fields: dict[str, Any], verdict: str) -> None:
    assert _verdict(_statement(**fields)) == verdict


def test_a_deny_wins_wherever_it_stands() -> None:
    for statements in ([{}, {"Effect": "Deny"}], [{"Effect": "Deny"}, {}]):
        assert _verdict(*(_statement(**fields) for fields in statements)) == "deny"


def test_one_statement_may_stand_alone() -> None:
    document = {"policyDocument": {"Statement": _statement()}}

    answer = read_answer(json.dumps(document).encode(), simple=False, rest=False)

    assert (answer.verdict(ARN), answer.principal_id, answer.context) == ("allow", "", None)


@pytest.mark.parametrize(("authorized", "verdict"), [(True, "allow"), (False, "deny")])
def test_a_simple_answer_is_for_every_route(verdict: str, *, authorized: bool) -> None:
    payload = json.dumps({"isAuthorized": authorized, "context": {"a": [1]}}).encode()

    answer = read_answer(payload, simple=True, rest=False)

    assert (answer.verdict(ARN), answer.context) == (verdict, {"a": [1]})


def test_a_rest_apis_context_is_texts() -> None:
    payload = _answer(_statement(), context={"a": "x", "b": 1, "c": True, "d": 1.5, "e": None})

    answer = read_answer(payload, simple=False, rest=True)

    assert answer.context == {"a": "x", "b": "1", "c": "true", "d": "1.5"}
    assert answer.principal_id == "me"


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"null", "no object"),
        (b'{"policyDocument": {}}', "allow or deny"),
        (b'{"policyDocument": {"Statement": [{"Effect": "Maybe"}]}}', "allow or deny"),
        (b'{"policyDocument": {"Statement": [{"Effect": "Allow"}]}}', "Action and Resource"),
        (_answer(_statement(Condition={"IpAddress": {}})), "Condition"),
        (_answer(_statement(), context=[1]), "context is no object"),
        (_answer(*[_statement()] * (POLICY_STATEMENTS_MAX + 1)), "more than"),
    ],
)
def test_an_answer_that_is_none_is_named(payload: bytes, message: str) -> None:
    with pytest.raises(MalformedAnswer, match=message):
        read_answer(payload, simple=False, rest=False)


@pytest.mark.parametrize("result", [{}, {"isAuthorized": "true"}, {"isAuthorized": 1}])
def test_a_simple_answer_is_true_or_false(result: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer, match="isAuthorized"):
        read_answer(json.dumps(result).encode(), simple=True, rest=False)


@pytest.mark.parametrize(
    "fields", [{"principalId": None}, {"principalId": True}, {"context": {"a": {"b": 1}}}]
)
def test_a_rest_api_wants_a_principal_and_nothing_nested(fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer):
        read_answer(_answer(_statement(), **fields), simple=False, rest=True)


def test_as_many_statements_as_are_allowed_are_read() -> None:
    payload = _answer(*[_statement()] * POLICY_STATEMENTS_MAX)

    assert read_answer(payload, simple=False, rest=False).verdict(ARN) == "allow"
