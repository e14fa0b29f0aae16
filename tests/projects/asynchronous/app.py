"""Functions that are invoked asynchronously, and write down that they were."""

import json
import time
from pathlib import Path


def _note(path, value):
    with Path(path).open("a") as file:
        file.write(json.dumps(value) + "\n")


def notes(event, context):
    while "until" in event and not Path(event["until"]).exists():
        time.sleep(0.01)
    _note(event["file"], {"id": context.aws_request_id, "arn": context.invoked_function_arn})
    return {"noted": event["file"]}


def fails(event, context):
    notes(event, context)
    raise ValueError("never works")


def collects(record, context):
    _note(record["requestPayload"]["file"] + ".records", record)
