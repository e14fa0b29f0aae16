"""An ASGI application behind Mangum, whatever the event is."""

import json

from mangum import Mangum


async def app(scope, receive, send):
    body = (await receive())["body"]
    shown = {
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "method": scope["method"],
        "client": scope["client"][0],
        "body": body.hex(),
    }
    headers = [[b"content-type", b"application/json"]]
    headers += [[b"set-cookie", b"a=1"], [b"set-cookie", b"b=2"]]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(shown).encode()})


handler = Mangum(app, lifespan="off")
