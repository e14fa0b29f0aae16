"""Functions invoked as on AWS: boto3, localstack-client and the command line, without HTTP routes."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import httpx
import localstack_client.session  # type: ignore[import-untyped]
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.betting import GAME
from tests.support.stack import REPOSITORY
from tests.support.wait import wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.support.betting import Platform
    from tests.support.stack import StackUnderTest

pytestmark = pytest.mark.e2e

EVENTS = REPOSITORY / "tests" / "events"
FUNCTIONS = {
    *("CheckHealth", "PlaceBet", "ListUserBets", "GetBetAnalytics", "GetMetrics", "ListGames"),
    *(
        "GetWallet",
        "DepositFunds",
        "RelayOutbox",
        "SinkBetEvents",
        "ReconcileBets",
        "MigrateSchema",
    ),
}
ARN = "arn:aws:lambda:us-east-1:000000000000:function:ListGames"
DONE_TIMEOUT_S = 60


@pytest.fixture(scope="module")
def client(stack: StackUnderTest) -> Iterator[Any]:
    """boto3, as any program would use it."""
    made = boto3.client(
        "lambda",
        endpoint_url=stack.lambda_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 0}, proxies={}, read_timeout=60),
    )
    yield made
    made.close()


def http_event(method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
    """An HTTP API event as small as a function takes it."""
    event: dict[str, Any] = {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", **headers},
        "requestContext": {
            "http": {"method": method, "path": path, "sourceIp": "127.0.0.1"},
            "requestId": str(uuid4()),
        },
        "isBase64Encoded": False,
    }
    if body is not None:
        event["body"] = json.dumps(body)
    return event


def deposit_event(user_id: str) -> str:
    return json.dumps(http_event("POST", f"/api/wallets/{user_id}/deposits", {"amount": 5}))


def test_every_function_is_listed_and_described(client: Any) -> None:
    listed = client.list_functions()["Functions"]
    described = client.get_function(FunctionName="PlaceBet")["Configuration"]

    assert {function["FunctionName"] for function in listed} == FUNCTIONS
    assert described in listed
    assert (described["Runtime"], described["Handler"]) == ("python3.11", "app.handler")
    assert described["Timeout"] == 10


def test_an_invocation_brings_the_answer_and_the_end_of_the_log(
    client: Any, platform: Platform
) -> None:
    user = platform.new_user("20.00")
    bet = {"userId": user, "gameId": GAME, "amount": 10.5, "betType": "win", "odds": 2}

    answer = client.invoke(
        FunctionName="PlaceBet",
        Payload=json.dumps(http_event("POST", "/api/bet", bet)),
        LogType="Tail",
    )

    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer
    result = json.loads(answer["Payload"].read())
    assert result["statusCode"] == 200
    assert json.loads(result["body"])["newBalance"] == 9.5
    assert platform.balance(user) == Decimal("9.50")
    log = base64.b64decode(answer["LogResult"]).decode()
    request_id = answer["ResponseMetadata"]["RequestId"]
    lines = [line for line in log.splitlines() if request_id in line]
    assert [line.split()[0] for line in lines] == ["START", "END", "REPORT"]
    assert '"_aws"' in log


@pytest.mark.parametrize("name", ["ListGames", ARN, "000000000000:function:ListGames"])
def test_a_function_answers_to_name_and_arn(client: Any, name: str) -> None:
    answer = client.invoke(FunctionName=name, Payload=json.dumps(http_event("GET", "/api/games")))

    games = json.loads(json.loads(answer["Payload"].read())["body"])["games"]
    assert "Kentucky Derby" in {game["gameName"] for game in games}


def test_an_event_that_the_function_cannot_take_is_a_function_error(client: Any) -> None:
    answer = client.invoke(FunctionName="GetWallet", Payload=b"{}", LogType="Tail")

    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    error = json.loads(answer["Payload"].read())
    assert {"errorMessage", "errorType", "requestId", "stackTrace"} <= set(error)
    assert error["requestId"] == answer["ResponseMetadata"]["RequestId"]
    assert error["errorMessage"] in base64.b64decode(answer["LogResult"]).decode()


def test_an_asynchronous_invocation_is_taken_at_once_and_carried_out_once(
    client: Any, platform: Platform
) -> None:
    user = platform.new_user("1.00")

    answer = client.invoke(
        FunctionName="DepositFunds", InvocationType="Event", Payload=deposit_event(user)
    )

    assert answer["StatusCode"] == 202
    assert answer["Payload"].read() == b""
    wait_until(lambda: platform.balance(user) > 1, DONE_TIMEOUT_S, "the deposit was made")
    assert platform.balance(user) == Decimal("6.00")


def test_a_dry_run_runs_nothing(client: Any, platform: Platform) -> None:
    user = platform.new_user("1.00")
    before = platform.everything()

    answer = client.invoke(
        FunctionName="DepositFunds", InvocationType="DryRun", Payload=deposit_event(user)
    )

    assert answer["StatusCode"] == 204
    assert platform.everything() == before


@pytest.mark.parametrize("kind", ["RequestResponse", "Event", "DryRun"])
def test_an_unknown_function_is_not_found(client: Any, kind: str) -> None:
    with pytest.raises(ClientError) as caught:
        client.invoke(FunctionName="Nobody", InvocationType=kind)

    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_a_payload_that_is_not_json_is_refused(client: Any) -> None:
    with pytest.raises(ClientError) as caught:
        client.invoke(FunctionName="ListGames", Payload=b"{")

    assert caught.value.response["Error"]["Code"] == "InvalidRequestContentException"


def test_localstack_client_needs_no_more_than_the_port(
    stack: StackUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With the default port it needs nothing at all; this stack has a port of its own.
    monkeypatch.setenv("LOCALSTACK_HOST", f"localhost:{stack.ports['lambda_api']}")
    monkeypatch.setenv("NO_PROXY", "localhost")
    client = localstack_client.session.Session().client("lambda")

    answer = client.invoke(
        FunctionName="ListGames", Payload=json.dumps(http_event("GET", "/api/games"))
    )

    assert json.loads(answer["Payload"].read())["statusCode"] == 200
    client.close()


@pytest.mark.parametrize(
    ("function", "file", "expected"),
    [
        ("ListGames", "http_list_games.json", '"statusCode": 200'),
        ("PlaceBet", "http_place_bet.json", '"statusCode": 200'),
        ("SinkBetEvents", "kafka_bet_placed_v2.json", '"batchItemFailures": []'),
        ("RelayOutbox", "schedule.json", '"relayed": '),
        ("ReconcileBets", "reconcile.json", '"verdict": '),
        ("MigrateSchema", "migrate_schema.json", '"demoData": {"users": 0, "games": 0}'),
    ],
)
def test_the_command_line_invokes_with_the_event_files(
    platform: Platform, function: str, file: str, expected: str
) -> None:
    results: list[subprocess.CompletedProcess[str]] = []

    def taken() -> bool:  # a function that the schedule runs may be busy
        command = ("invoke", function, "--event", str(EVENTS / file), "--log")
        results.append(platform.stack.cli(*command, check=False))
        return "TooManyRequestsException" not in results[-1].stderr

    wait_until(taken, DONE_TIMEOUT_S, f"{function} takes the event")

    result = results[-1]
    assert result.returncode == 0, result.stderr
    assert expected in json.dumps(json.loads(result.stdout))
    assert "REPORT RequestId" in result.stderr


def test_the_command_line_repeats_a_keyed_bet_without_debiting_again(platform: Platform) -> None:
    arguments = ("invoke", "PlaceBet", "--event", str(EVENTS / "http_place_bet.json"))
    first = json.loads(platform.stack.cli(*arguments).stdout)
    before = platform.everything()

    again = json.loads(platform.stack.cli(*arguments).stdout)

    assert again["headers"]["idempotent-replayed"] == "true"
    assert json.loads(again["body"])["betId"] == json.loads(first["body"])["betId"]
    assert platform.everything() == before


@pytest.mark.parametrize("kind", ["Event", "DryRun"])
def test_the_command_line_says_nothing_of_other_invocation_types(
    platform: Platform, kind: str
) -> None:
    user = platform.new_user("1.00")

    result = platform.stack.cli(
        *("invoke", "DepositFunds", "--type", kind, "--event", "-"), stdin=deposit_event(user)
    )

    assert (result.stdout, result.stderr) == ("", "")
    expected = Decimal("6.00") if kind == "Event" else Decimal("1.00")
    wait_until(lambda: platform.balance(user) == expected, DONE_TIMEOUT_S, "it was carried out")


def test_the_command_line_fails_with_the_function(platform: Platform) -> None:
    result = platform.stack.cli("invoke", "GetWallet", "--log", check=False)

    assert result.returncode == 1
    assert {"errorMessage", "errorType"} <= set(json.loads(result.stdout))
    assert "GetWallet failed" in result.stderr
    assert "Traceback" in result.stderr


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}],
    ids=str,
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/2015-03-31/functions/DepositFunds/invocations"),
        ("OPTIONS", "/2015-03-31/functions/DepositFunds/invocations"),
        ("GET", "/2015-03-31/functions"),
        ("GET", "/_local_stack/status"),
    ],
)
def test_no_web_page_reaches_the_lambda_api(
    platform: Platform, method: str, path: str, headers: dict[str, str]
) -> None:
    user = platform.new_user("1.00")

    answer = httpx.request(
        method,
        platform.stack.lambda_url + path,
        headers=headers,
        content=deposit_event(user) if method == "POST" else b"",
        trust_env=False,
    )

    assert answer.status_code == 403
    assert answer.headers["X-Amzn-Errortype"] == "AccessDeniedException"
    assert set(answer.json()) == {"Type", "Message"}
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert platform.balance(user) == Decimal("1.00")
