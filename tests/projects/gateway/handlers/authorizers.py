"""Lambda authorizers, of both kinds of API."""

import itertools

_CALLS = itertools.count(1)


def simple(event, context):
    (token,) = event["identitySource"]
    if token == "broken":
        raise ValueError("no")
    if token == "malformed":
        return {"isAuthorized": "yes"}
    return {
        "isAuthorized": token.startswith("good"),
        "context": {"call": next(_CALLS), "asked": event},
    }


def policy(event, context):
    """Who is user-1 may read what is open; user-2 is refused it; user-3 is not spoken of."""
    user = event.get("authorizationToken") or event["queryStringParameters"]["user"]
    if user == "user-401":
        raise Exception("Unauthorized")
    if user == "user-500":
        raise Exception("something else")
    effect = "Deny" if user == "user-2" else "Allow"
    resource = "arn:aws:execute-api:*:*:*/*/GET/*/open*"
    if user == "user-3":
        resource = "arn:aws:execute-api:*:*:*/*/POST/*"
    return {
        "principalId": user,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}],
        },
        "context": {"call": next(_CALLS), "vip": True, "arn": event["methodArn"]},
    }
