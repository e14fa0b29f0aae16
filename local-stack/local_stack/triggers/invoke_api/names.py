"""Which function a request means: by name, partial ARN or ARN, with or without a qualifier. Pure.

Source: AWS Lambda API reference, the pattern of `FunctionName`; answers as recorded from AWS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from local_stack.errors import FunctionNotFound, InvalidParameter, ValidationFailed
from local_stack.model import ACCOUNT_ID, REGION, VERSION, function_arn

if TYPE_CHECKING:
    from local_stack.model import Function

NAME_LENGTH_MAX = 256
QUALIFIER_LENGTH_MAX = 128
PUBLISHED = "1"  # the only version: an alias and this number run the code that is there
_NAME = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:)?(?:((?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d):)?"
    r"(?:(\d{12}):)?(?:function:)?([a-zA-Z0-9-_]+)(?::(\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)
_QUALIFIER = re.compile(r"\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9-_$]+")
_NAME_PATTERN = (  # in Lambda's own words, for its error message
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?"
    r"(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)
_QUALIFIER_PATTERN = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"


@dataclass(frozen=True, slots=True)
class Reference:
    """A function as a request names it; `qualifier` is empty when there is none."""

    name: str
    qualifier: str = ""


@lru_cache(maxsize=1024)  # what is refused is not kept
def read_reference(raw: str, qualifier: str = "") -> Reference:
    """Read the name in a path, still encoded, and the qualifier beside it.

    Raises `ValidationFailed` for what is no name, `InvalidParameter` when the two qualifiers
    differ, and `FunctionNotFound` for another account or region: nothing of theirs is here.
    """
    text = unquote(raw)
    if len(text) > NAME_LENGTH_MAX:
        constraint = f"have length less than or equal to {NAME_LENGTH_MAX}"
        raise ValidationFailed(text, "functionName", constraint)
    match = _NAME.fullmatch(text)
    if match is None:
        constraint = f"satisfy regular expression pattern: {_NAME_PATTERN}"
        raise ValidationFailed(text, "functionName", constraint)
    region, account, name, own = match.groups()
    if qualifier:
        _check_qualifier(qualifier)
    if region is not None and region != REGION:
        msg = f"Functions from '{region}' are not reachable in this region ('{REGION}')"
        raise FunctionNotFound(msg)
    if account is not None and account != ACCOUNT_ID:
        arn = function_arn(name).replace(ACCOUNT_ID, account)
        msg = f"Function not found: {arn}:{qualifier or own or VERSION}"
        raise FunctionNotFound(msg)
    if qualifier and own and qualifier != own:
        msg = "The derived qualifier from the function name does not match the specified qualifier."
        raise InvalidParameter(msg)
    return Reference(name, qualifier or own or "")


def executed_version(function: Function, qualifier: str) -> str:
    """The version that `qualifier` stands for. Raises `FunctionNotFound`."""
    if qualifier in ("", VERSION):
        return VERSION
    if function.alias is not None and qualifier in (function.alias, PUBLISHED):
        return PUBLISHED
    msg = f"Function not found: {function.arn}:{qualifier}"
    raise FunctionNotFound(msg)


def _check_qualifier(qualifier: str) -> None:
    if len(qualifier) > QUALIFIER_LENGTH_MAX:
        constraint = f"have length less than or equal to {QUALIFIER_LENGTH_MAX}"
        raise ValidationFailed(qualifier, "qualifier", constraint)
    if _QUALIFIER.fullmatch(qualifier) is None:
        constraint = f"satisfy regular expression pattern: {_QUALIFIER_PATTERN}"
        raise ValidationFailed(qualifier, "qualifier", constraint)
