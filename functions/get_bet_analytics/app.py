"""GET /api/analytics/bets — how many bets, and for how much, by hour or day (UTC).

Read from aggregates in ClickHouse; at most 1,000 periods. 503 while ClickHouse is away.
"""

from typing import Annotated

from fastapi import Query

from shared.betting.analytics import BetAnalytics, GroupBy, PeriodBound, get_bet_analytics
from shared.errors import ClickHouseUnavailable
from shared.http_app import create_app, lambda_handler, problems

app = create_app(title="get-bet-analytics")


@app.get("/api/analytics/bets", responses=problems(ClickHouseUnavailable))
async def get_analytics(
    group_by: Annotated[GroupBy, Query(alias="groupBy")] = "hour",
    start_date: Annotated[PeriodBound | None, Query(alias="startDate")] = None,
    end_date: Annotated[PeriodBound | None, Query(alias="endDate")] = None,
) -> BetAnalytics:
    """Count bets and stakes by period, the last seven days if not said otherwise."""
    return get_bet_analytics(group_by, start_date, end_date)


handler = lambda_handler(app)
