"""On a schedule: PostgreSQL's books against themselves and against ClickHouse, and mend the difference.

`{"since": "2026-11-24T00:00:00Z"}` goes back to that moment, `{"repair": false}` only looks.
"""

from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.betting.reconcile_bets import ReconcileBets, Reconciliation, reconcile_bets
from shared.observability import begin_invocation, end_invocation


def handler(event: ReconcileBets, context: LambdaContext) -> Reconciliation:
    """A schedule's event or a person's wishes in, the verdict out."""
    begin_invocation(context.aws_request_id)
    try:
        return reconcile_bets(event, context)
    finally:
        end_invocation()
