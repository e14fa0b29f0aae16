"""A module that takes its time to import."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

threading.Event().wait(0.8)


def handler(event: object, context: LambdaContext) -> int:
    return context.get_remaining_time_in_millis()
