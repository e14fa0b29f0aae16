"""Function URLs: HTTP straight to one function, found by `Host`. Pure.

On AWS a URL is `https://<url-id>.lambda-url.<region>.on.aws`; here the id is the function's name in
lower case. Source: Lambda developer guide, "Invoking Lambda function URLs".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from local_stack.model import ACCOUNT_ID
from local_stack.triggers.http.event import Fixed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local_stack.model import Function, FunctionUrl
    from local_stack.triggers.http.call import Call

DOMAIN = "lambda-url."  # what follows the id
DEFAULT_TYPE = b"application/json"
_ALGORITHM = "AWS4-HMAC-SHA256"
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/")


@dataclass(frozen=True, slots=True)
class UrlTarget:
    """A function that has a URL."""

    function: Function
    url: FunctionUrl
    fixed: Fixed


def url_targets(functions: Iterable[Function]) -> dict[str, UrlTarget]:
    """The functions with a URL, by the first label of their host name."""
    return {
        function.name.lower(): UrlTarget(
            function, function.url, Fixed.of(function.name.lower(), "$default", "$default", {})
        )
        for function in functions
        if function.url is not None
    }


def caller(call: Call) -> str | None:
    """`requestContext.authorizer` of a signed request as JSON, or None without a signature.

    The signature itself is not checked, as everywhere on this machine.
    """
    header = call.headers.get("authorization", "")
    query = call.request.query
    if header.startswith(_ALGORITHM):
        found = _CREDENTIAL.search(header)
    elif "X-Amz-Signature=" in query:
        found = _CREDENTIAL.search(unquote(query).replace("X-Amz-Credential=", "Credential="))
    else:
        return None
    if found is None:
        return None
    key = found[1]
    iam = {
        "accessKey": key,
        "accountId": ACCOUNT_ID,
        "callerId": key,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": f"arn:aws:iam::{ACCOUNT_ID}:user/local",
        "userId": key,
    }
    return json.dumps({"iam": iam}, separators=(",", ":"))
