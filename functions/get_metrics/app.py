"""GET /metrics — Prometheus text: bets, stakes, outbox, sink lag, books in balance, pool.

Answers whatever is away: a missing store shows as `betting_store_up 0`. Where the runtime has
counters of its own (RUNTIME_METRICS_URL), they follow.
"""

from fastapi.responses import PlainTextResponse

from shared.betting.metrics import CONTENT_TYPE, get_metrics
from shared.http_app import create_app, lambda_handler

app = create_app(title="get-metrics")


@app.get("/metrics", response_class=PlainTextResponse)
async def get_prometheus_text() -> PlainTextResponse:
    """Tell what is counted and measured."""
    return PlainTextResponse(get_metrics(), media_type=CONTENT_TYPE)


handler = lambda_handler(app)
