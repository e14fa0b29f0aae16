"""Every error body of the Lambda API, in one place. Pure.

Shapes as recorded from AWS: `Type` and `Message`, but `message` and `Reason` for throttling.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local_stack.errors import InvokeError, Throttled

if TYPE_CHECKING:
    from collections.abc import Mapping

THROTTLE_RETRY_AFTER_S = 1


def error_answer(error: InvokeError) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for `error`."""
    headers = {"x-amzn-ErrorType": error.code}
    body: Mapping[str, object]
    if isinstance(error, Throttled):
        headers["Retry-After"] = str(THROTTLE_RETRY_AFTER_S)
        body = {"Reason": error.reason, "Type": error.fault, "message": str(error)}
    else:
        body = {"Type": error.fault, "Message": str(error), "message": str(error)}
    return error.status, headers, json.dumps(body).encode()
