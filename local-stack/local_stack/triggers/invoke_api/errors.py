"""Every error body of the Lambda API, in one place. Pure.

Shapes as in the API's model and as recorded from AWS: some errors say `Message` and some
`message`, and throttling has a `Reason`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local_stack.errors import InvokeError, Throttled, ValidationFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

THROTTLE_RETRY_AFTER_S = 1
# The API's model writes it this way for these; with a small letter for the others.
_CAPITAL = frozenset(
    {"ResourceNotFoundException", "ServiceException", "RecursiveInvocationException"}
)


def error_answer(error: InvokeError) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for `error`."""
    headers = {"x-amzn-ErrorType": error.code}
    body: Mapping[str, object]
    if isinstance(error, Throttled):
        headers["Retry-After"] = str(THROTTLE_RETRY_AFTER_S)
        body = {"Reason": error.reason, "Type": error.fault, "message": str(error)}
    elif isinstance(error, ValidationFailed):
        body = {"message": str(error)}
    else:
        name = "Message" if error.code in _CAPITAL else "message"
        body = {"Type": error.fault, name: str(error)}
    return error.status, headers, json.dumps(body).encode()
