"""A handler that talks to its own Runtime API, out of turn."""

from __future__ import annotations

import http.client
import json
import os
from typing import Any


def handler(event: list[list[str]], context: object) -> list[dict[str, Any]]:
    """Make every `[method, path, body]` request of the event, and tell the answers."""
    answers = []
    for method, path, body in event:
        connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"], timeout=5)
        connection.request(method, path, body.encode())
        response = connection.getresponse()
        answers.append({"status": response.status, "body": json.loads(response.read())})
        connection.close()
    return answers
