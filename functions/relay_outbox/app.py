"""On a schedule: move outbox rows to Kafka until drained or nearly out of time.

One relay at a time, whatever the number of hosts; a row is deleted when the broker has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.betting.relay_outbox import relay_outbox
from shared.observability import begin_invocation, end_invocation

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def handler(event: dict[str, object], context: LambdaContext) -> dict[str, object]:
    """A schedule's event in, what was relayed out."""
    begin_invocation(context.aws_request_id)
    try:
        return relay_outbox(context).as_dict()
    finally:
        end_invocation()
