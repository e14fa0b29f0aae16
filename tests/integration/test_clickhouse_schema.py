"""ClickHouse's tables: made once, completed when a run was cut off, partitioned by month."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from shared import clickhouse
from shared.errors import ClickHouseUnavailable
from shared.migrations.clickhouse_schema import migrate_clickhouse, migration_files
from tests.support.events import events_environment
from tests.support.ports import free_port

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

pytestmark = pytest.mark.integration


def tables(client: Client) -> set[str]:
    return {row[0] for row in client.query("SHOW TABLES").result_rows}


def test_migrating_twice_changes_nothing(analytics: Client) -> None:
    before = tables(analytics)
    assert before >= {"bet_events", "bets_hourly", "bets_daily", "schema_migrations"}
    assert migrate_clickhouse() == []
    assert tables(analytics) == before
    recorded = analytics.query("SELECT name FROM schema_migrations ORDER BY name").result_rows
    assert [row[0] for row in recorded] == [path.stem for path in migration_files()]


def test_a_run_that_was_cut_off_is_taken_up_again(analytics: Client) -> None:
    analytics.command("DROP TABLE bets_daily_view")
    analytics.command("DELETE FROM schema_migrations WHERE name = '0003.bets-daily'")
    assert migrate_clickhouse() == ["0003.bets-daily"]
    assert "bets_daily_view" in tables(analytics)


def test_events_are_kept_by_month(analytics: Client) -> None:
    ((key,),) = analytics.query(
        "SELECT partition_key FROM system.tables"
        " WHERE database = currentDatabase() AND name = 'bet_events'"
    ).result_rows
    assert key == "toYYYYMM(occurred_at)"


def test_a_server_that_is_away_is_an_error_at_once() -> None:
    url = f"http://default@127.0.0.1:{free_port()}/default"
    with events_environment(CLICKHOUSE_URL=url), pytest.raises(ClickHouseUnavailable):
        migrate_clickhouse()


def test_statements_that_cannot_be_are_defects_and_not_outages(analytics: Client) -> None:
    with pytest.raises(ClickHouseError, match="SYNTAX_ERROR"):
        clickhouse.query("SELECT FROM WHERE", timeout_s=5)
    with pytest.raises(ClickHouseUnavailable):
        clickhouse.query("SELECT * FROM not_there_yet", timeout_s=5)
    with pytest.raises(ClickHouseUnavailable):
        clickhouse.query("SELECT 1", timeout_s=0)


def test_a_query_is_ended_by_the_server_in_time(analytics: Client) -> None:
    with pytest.raises(ClickHouseUnavailable):
        clickhouse.query(
            "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1",
            timeout_s=0.2,
        )
