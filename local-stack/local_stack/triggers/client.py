"""How event sources invoke functions: the Lambda API over HTTP, like any other caller."""

from __future__ import annotations

import json
from dataclasses import dataclass

import httpx

from local_stack.errors import LocalStackError

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 910.0  # a function runs for 900 s at most


class InvokeFailed(LocalStackError):
    """The function was not run, or it failed; `function_error` tells which."""

    def __init__(
        self, message: str, *, function_error: bool, status: int | None = None, request_id: str = ""
    ) -> None:
        super().__init__(message)
        self.function_error = function_error
        self.status = status  # of HTTP, when the Lambda API answered
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function returned."""

    payload: bytes
    request_id: str


@dataclass(frozen=True, slots=True)
class InvokeClient:
    """Invokes functions through the Lambda API at `base_url`."""

    base_url: str
    http: httpx.AsyncClient

    @classmethod
    def at(cls, base_url: str) -> InvokeClient:
        """A client for the Lambda API at `base_url`; close its `http` when done."""
        timeout = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        return cls(base_url, httpx.AsyncClient(timeout=timeout, trust_env=False))

    async def __call__(self, function: str, payload: bytes) -> Answer:
        """Run `function` and return its result. Raises `InvokeFailed`."""
        url = f"{self.base_url}/2015-03-31/functions/{function}/invocations"
        try:
            response = await self.http.post(url, content=payload)
        except httpx.HTTPError as error:
            msg = f"the Lambda API does not answer: {type(error).__name__} {error}".rstrip()
            raise InvokeFailed(msg, function_error=False) from error
        if response.status_code != httpx.codes.OK:
            msg = f"{response.status_code} {response.text[:200]}"
            raise InvokeFailed(msg, function_error=False, status=response.status_code)
        request_id = response.headers.get("x-amzn-requestid", "")
        if "x-amz-function-error" in response.headers:
            raise InvokeFailed(
                _function_error(response.content),
                function_error=True,
                status=response.status_code,
                request_id=request_id,
            )
        return Answer(response.content, request_id)


def _function_error(payload: bytes) -> str:
    try:
        body = json.loads(payload)
        return f"{body.get('errorType', 'Error')}: {body.get('errorMessage', '')}"[:500]
    except (ValueError, AttributeError):
        return repr(payload[:200])
