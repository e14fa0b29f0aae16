"""What a Lambda authorizer's answer allows: simple answers, and IAM policies. Pure.

Sources: API Gateway developer guide, "Control access to HTTP APIs with AWS Lambda authorizers" and
"Output from an API Gateway Lambda authorizer" (REST APIs).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from local_stack.model import ACCOUNT_ID, REGION

Verdict = Literal["allow", "deny", "none"]  # none: no statement is about it
POLICY_STATEMENTS_MAX = 1000
_INVOKE = "execute-api:invoke"


class MalformedAnswer(Exception):
    """The authorizer answered in no format that is known: clients get 500."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An authorizer's answer, for one set of identity values."""

    context: dict[str, Any] | None
    is_authorized: bool | None = None  # a simple answer; else:
    principal_id: str = ""
    statements: tuple[dict[str, Any], ...] = ()

    def verdict(self, arn: str) -> Verdict:
        """Whether the route `arn` may be called: an explicit deny wins."""
        if self.is_authorized is not None:
            return "allow" if self.is_authorized else "deny"
        effects = {s["Effect"] for s in self.statements if _applies(s, arn)}
        if "Deny" in effects:
            return "deny"
        return "allow" if "Allow" in effects else "none"


def read_answer(payload: bytes, *, simple: bool, rest: bool) -> Answer:
    """The answer in a function's result. Raises `MalformedAnswer`."""
    try:
        result = json.loads(payload)
    except (ValueError, RecursionError) as error:
        msg = "the answer is not JSON"
        raise MalformedAnswer(msg) from error
    if not isinstance(result, dict):
        msg = "the answer is no object"
        raise MalformedAnswer(msg)
    context = result.get("context")
    if not isinstance(context, dict | None):
        msg = "context is no object"
        raise MalformedAnswer(msg)
    if simple:
        if not isinstance(result.get("isAuthorized"), bool):
            msg = "isAuthorized is true or false"
            raise MalformedAnswer(msg)
        return Answer(context, is_authorized=result["isAuthorized"])
    principal = result.get("principalId", "" if not rest else None)
    if not isinstance(principal, str | int) or isinstance(principal, bool):
        msg = "principalId is a text"
        raise MalformedAnswer(msg)
    if rest:
        context = _flat(context or {})
    return Answer(context, principal_id=str(principal), statements=_statements(result))


def execute_api_arn(api_id: str, stage: str, method: str, path: str) -> str:
    """The ARN of a route as a policy names it; `path` begins with a slash."""
    return f"arn:aws:execute-api:{REGION}:{ACCOUNT_ID}:{api_id}/{stage}/{method}{path}"


def _flat(context: dict[str, Any]) -> dict[str, str]:
    """A REST API's context: texts only, and nothing nested."""
    flat = {}
    for name, value in context.items():
        if isinstance(value, dict | list):
            msg = f"context.{name} is nested"
            raise MalformedAnswer(msg)
        if value is not None:
            flat[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return flat


def _statements(result: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    document = result.get("policyDocument")
    found = document.get("Statement") if isinstance(document, dict) else None
    statements = found if isinstance(found, list) else [found]
    if len(statements) > POLICY_STATEMENTS_MAX:
        msg = f"the policy has more than {POLICY_STATEMENTS_MAX} statements"
        raise MalformedAnswer(msg)
    for statement in statements:
        if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
            msg = "policyDocument has statements that allow or deny"
            raise MalformedAnswer(msg)
        if "Action" not in statement or "Resource" not in statement:
            msg = "a statement has Action and Resource"
            raise MalformedAnswer(msg)
        if statement.get("Condition"):
            msg = "Condition is not evaluated here"
            raise MalformedAnswer(msg)
    return tuple(statements)


def _applies(statement: dict[str, Any], arn: str) -> bool:
    actions, resources = _texts(statement["Action"]), _texts(statement["Resource"])
    return any(_pattern(action.lower()).fullmatch(_INVOKE) for action in actions) and any(
        _pattern(resource).fullmatch(arn) for resource in resources
    )


def _texts(value: Any) -> list[str]:
    return [text for text in (value if isinstance(value, list) else [value]) if type(text) is str]


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    """IAM's wildcards: `*` is anything, slashes too, and `?` one character."""
    literal = re.escape(re.sub(r"\*+", "*", text))
    return re.compile(literal.replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)
