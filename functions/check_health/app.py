"""GET /api/health — how the platform is: healthy, degraded or unhealthy.

Three probes side by side, a second each at most. 503 only without PostgreSQL: bets need nothing
else.
"""

from typing import Any

from fastapi import Response

from shared.betting.health import Health, check_health
from shared.http_app import create_app, lambda_handler
from shared.json_text import render_json

app = create_app(title="check-health")

UNHEALTHY: dict[int | str, dict[str, Any]] = {
    503: {"model": Health, "description": "Without PostgreSQL no bets are taken."}
}


@app.get("/api/health", responses=UNHEALTHY, response_model=Health)
async def get_health() -> Health | Response:
    """Check the stores."""
    health = check_health()
    if health.status == "unhealthy":
        return Response(render_json(health), 503, media_type="application/json")
    return health


handler = lambda_handler(app)
