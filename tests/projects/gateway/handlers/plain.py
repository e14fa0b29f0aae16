"""Functions that show what they were given, and answer what they are told to."""

import base64
import json
import time


def echo(event, context):
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json", "Access-Control-Allow-Origin": "mine"},
        "body": json.dumps(event),
    }


def result(event, context):
    body = event["body"]
    return json.loads(base64.b64decode(body) if event["isBase64Encoded"] else body)


def slow(event, context):
    time.sleep(1)
    return {"statusCode": 200}
