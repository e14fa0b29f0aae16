"""A FastAPI application behind Mangum."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from mangum import Mangum

app = FastAPI()


@app.api_route("/site/items/{name}", methods=["GET", "POST", "PUT"])
async def item(name: str, request: Request, response: Response) -> dict[str, object]:
    response.headers["X-Name"] = name
    response.set_cookie("seen", "yes")
    response.set_cookie("count", "2")
    body = await request.body()
    return {
        "method": request.method,
        "name": name,
        "query": request.query_params.multi_items(),
        "cookies": request.cookies,
        "agent": request.headers["user-agent"],
        "client": request.client.host if request.client else None,
        "body": body.hex(),
        "event": request.scope["aws.event"]["version"],
    }


@app.get("/site/bytes")
async def some_bytes() -> Response:
    return Response(bytes(range(256)), media_type="application/octet-stream")


@app.get("/site/nothing")
async def nothing() -> Response:
    return Response(status_code=204)


handler = Mangum(app, lifespan="off")
