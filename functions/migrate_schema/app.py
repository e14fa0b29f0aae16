"""Invoked by deployment: `{"demoData": true|false}` brings tables and topics up to date.

Repeating it is harmless; the answer says what was done. A store that is away is an error.
"""

from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.betting.migrate_schema import MigrateSchema, MigrationReport, migrate_schema
from shared.observability import begin_invocation, end_invocation


def handler(event: MigrateSchema, context: LambdaContext) -> MigrationReport:
    """Migrate, and load the demo data if asked."""
    begin_invocation(context.aws_request_id)
    try:
        return migrate_schema(event)
    finally:
        end_invocation()
