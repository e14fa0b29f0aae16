import base64
import json
import os

calls = 0


def place_order(event, context):
    global calls
    calls += 1
    order = json.loads(event.get("body") or "{}")
    print(f"order of {order.get('name')}")
    said = f"{os.environ['GREETING']} {order.get('name')}, by {os.environ['CARRIER']}"
    return {"statusCode": 201, "body": json.dumps({"said": said, "calls": calls})}


def ship_orders(event, context):
    failures = []
    for partition, records in event["records"].items():
        for record in records:
            order = json.loads(base64.b64decode(record["value"]))
            if order.get("explodes"):
                raise RuntimeError("the whole batch")
            if not order.get("address"):
                identifier = {"partition": partition, "offset": record["offset"]}
                failures.append({"itemIdentifier": identifier})
    return {"batchItemFailures": failures}


def close_books(event, context):
    return event


def send_mail(event, context):
    if event.get("fails"):
        raise ConnectionError("the post office is closed")
    return "sent"
