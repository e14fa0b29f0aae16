import json


def lambda_handler(event, context):
    """Answer a REST API's proxy event."""
    return {
        "statusCode": 200,
        "body": json.dumps({"message": "hello world", "path": event["path"]}),
    }
