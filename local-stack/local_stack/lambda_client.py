"""Invokes functions as any client of AWS would: with boto3."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_stack.errors import LocalStackError
from local_stack.model import REGION

if TYPE_CHECKING:
    from typing import Literal

    InvocationType = Literal["RequestResponse", "Event", "DryRun"]

READ_TIMEOUT_S = 910  # a function runs for 900 s at most


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    payload: bytes
    function_error: str
    log: str


def invoke(url: str, name: str, payload: bytes, kind: InvocationType, *, want_log: bool) -> Answer:
    """Invoke `name` at the Lambda API `url`. Raises `LocalStackError` when it is refused."""
    import boto3  # deferred: 350 ms that no other command needs
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "lambda",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - signatures are not checked
        config=Config(read_timeout=READ_TIMEOUT_S, retries={"max_attempts": 0}, proxies={}),
    )
    options: dict[str, Any] = {"LogType": "Tail"} if want_log else {}
    try:
        response = client.invoke(FunctionName=name, Payload=payload, InvocationType=kind, **options)
        body = response["Payload"].read()
    except ClientError as error:
        details = error.response.get("Error", {})
        msg = f"{name}: {details.get('Code', 'refused')}: {details.get('Message', error)}"
        raise LocalStackError(msg) from error
    except BotoCoreError as error:
        msg = f"nothing answers at {url} ({error}): start it with `local-stack up`"
        raise LocalStackError(msg) from error
    tail = base64.b64decode(response.get("LogResult", "")).decode(errors="replace")
    return Answer(body, response.get("FunctionError", ""), tail)
