"""GET /hello/{name}, and a failure on demand."""

import os


def handler(event, context):
    """Greet; `{"fail": true}` raises."""
    if event.get("fail"):
        raise ValueError("told to")
    name = event.get("pathParameters", {}).get("name", "nobody")
    return {"greeting": f"hello {name}", "pid": os.getpid()}
