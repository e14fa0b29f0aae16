"""Every route answers through Nginx as docs/http-api.md and docs/openapi.json say."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from tests.support.betting import GAME
from tests.support.described import check, content, routes
from tests.support.raw_http import exchange, request

if TYPE_CHECKING:
    import httpx

    from tests.support.betting import Platform

pytestmark = pytest.mark.e2e

JOHN = "31c13867-275d-4890-a097-5945199642e4"  # of the demo data
GOOD = {
    ("GET", "/api/health"): "/api/health",
    ("POST", "/api/bet"): "/api/bet",
    ("GET", "/api/bets/{userId}"): f"/api/bets/{JOHN}?limit=3&offset=0",
    ("GET", "/api/analytics/bets"): "/api/analytics/bets?groupBy=day",
    ("GET", "/metrics"): "/metrics",
    ("GET", "/api/games"): "/api/games",
    ("GET", "/api/wallets/{userId}"): f"/api/wallets/{JOHN}",
    ("POST", "/api/wallets/{userId}/deposits"): f"/api/wallets/{JOHN}/deposits",
}
BODIES = {
    "/api/bet": {"userId": JOHN, "gameId": GAME, "amount": 1, "betType": "win", "odds": 1.5},
    f"/api/wallets/{JOHN}/deposits": {"amount": 1},
}


def ask(platform: Platform, route: tuple[str, str], **headers: str) -> httpx.Response:
    """A good request to a route."""
    target = GOOD[route]
    return platform.http.request(route[0], target, json=BODIES.get(target), headers=headers)


def test_every_route_of_the_document_is_tested_here() -> None:
    assert set(GOOD) == routes()


@pytest.mark.parametrize("route", GOOD, ids=" ".join)
def test_a_good_request_gets_what_the_document_says(
    platform: Platform, route: tuple[str, str]
) -> None:
    answer = ask(platform, route)

    assert answer.status_code == 200, answer.text
    check(answer, *route)


@pytest.mark.parametrize("route", GOOD, ids=" ".join)
def test_every_answer_has_a_request_id_of_its_own(
    platform: Platform, route: tuple[str, str]
) -> None:
    ids = [ask(platform, route, **{"X-Request-Id": "mine"}).headers["X-Request-Id"] for _ in "ab"]

    assert len(set(ids)) == 2
    assert all(UUID(hex=request_id) for request_id in ids)


@pytest.mark.parametrize("route", GOOD, ids=" ".join)
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_methods_that_are_not_routed_are_404_without_cors(
    platform: Platform, route: tuple[str, str], method: str
) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}

    refused = platform.http.request(method, GOOD[route], headers=headers)
    served = ask(platform, route, **headers)

    assert refused.status_code == 404
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert (refused.content == b"") == (method == "HEAD")
    assert served.status_code == 200
    for answer in (refused, served):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_health_names_every_store(platform: Platform) -> None:
    health = platform.http.get("/api/health").json()

    assert set(health) == {"status", "timestamp", "services"}
    assert health["status"] == "healthy"
    assert health["services"] == dict.fromkeys(("postgresql", "clickhouse", "kafka"), "healthy")
    age = datetime.now(UTC) - datetime.fromisoformat(health["timestamp"])
    assert abs(age) < timedelta(minutes=1)


def test_a_bet_debits_the_wallet_and_is_recorded(platform: Platform) -> None:
    user = platform.new_user("100.00")

    answer = platform.bet(user, "10.50", betType="exact_score", betValue="2-1", odds=1.85)

    assert answer.status_code == 200
    placed = content(answer)
    time = placed.pop("processingTime")
    assert placed == {
        "betId": placed["betId"],
        "status": "accepted",
        "transactionId": placed["transactionId"],
        "newBalance": Decimal("89.50"),
        "potentialWin": Decimal("19.43"),
    }
    assert '"newBalance":89.50,' in answer.text
    assert "Idempotent-Replayed" not in answer.headers
    assert 0 < time["database"] <= time["total"] < 30_000
    assert platform.row(
        "SELECT user_id::text, game_id::text, amount, odds, potential_win, bet_type, bet_value,"
        " status, transaction_id::text FROM bets WHERE id = %s",
        [placed["betId"]],
    ) == (
        *(user, GAME, Decimal("10.50"), Decimal("1.85"), Decimal("19.43")),
        *("exact_score", "2-1", "accepted", placed["transactionId"]),
    )
    assert platform.row(
        "SELECT type, amount, balance_before, balance_after, bet_id::text"
        " FROM wallet_transactions WHERE id = %s",
        [placed["transactionId"]],
    ) == ("bet", Decimal("10.50"), Decimal("100.00"), Decimal("89.50"), placed["betId"])


@pytest.mark.parametrize(
    ("amount", "odds", "debited", "win"),
    [
        ("0.01", "1.01", "0.01", "0.01"),
        ("0.005", "1.005", "0.01", "0.01"),
        ("10.005", "2", "10.01", "20.02"),
        ("10.0049999", "2", "10.00", "20.00"),
        ("1e1", "1.5e0", "10.00", "15.00"),
        ("100000", "999.99", "100000.00", "99999000.00"),
        ("100000.004", "999.994", "100000.00", "99999000.00"),
        ("10." + "0" * 5_000 + "1", "2.00000", "10.00", "20.00"),
    ],
)
def test_money_and_odds_are_rounded_half_up_to_two_decimals(
    platform: Platform, amount: str, odds: str, debited: str, win: str
) -> None:
    user = platform.new_user("100000.00")
    body = (
        f'{{"userId":"{user}","gameId":"{GAME}","amount":{amount},"betType":"win","odds":{odds}}}'
    )

    answer = platform.http.post(
        "/api/bet", content=body, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 200, answer.text
    assert content(answer)["newBalance"] == Decimal("100000.00") - Decimal(debited)
    assert f'"potentialWin":{win},' in answer.text


@pytest.mark.parametrize(
    "bet_value",
    [
        "x" * 100,
        "\U0001f3c0" * 100,
        "Real Madrid \U0001f469\u200d\U0001f469\u200d\U0001f467 ñ 日本",
        "'; DROP TABLE bets; --",
        '"quotes" \\ <script>alert(1)</script> %s {0} $1',
        "",
        None,
    ],
)
def test_a_bet_value_comes_back_as_it_was_sent(platform: Platform, bet_value: str | None) -> None:
    user = platform.new_user("10.00")

    assert platform.bet(user, "1", betValue=bet_value).status_code == 200

    (listed,) = platform.http.get(f"/api/bets/{user}").json()["bets"]
    assert listed["betValue"] == bet_value


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "Application/JSON", "application/json ;charset=UTF-8"],
)
def test_json_is_known_by_any_of_its_spellings(platform: Platform, content_type: str) -> None:
    body = json.dumps(BODIES["/api/bet"])

    answer = platform.http.post("/api/bet", content=body, headers={"Content-Type": content_type})

    assert answer.status_code == 200


def test_ids_may_be_in_capitals(platform: Platform) -> None:
    user = platform.new_user("10.00")

    assert platform.bet(user.upper(), gameId=GAME.upper()).status_code == 200

    assert platform.http.get(f"/api/wallets/{user.upper()}").json()["userId"] == user


def test_a_body_at_the_limit_is_taken_whole_or_in_chunks(platform: Platform) -> None:
    body = json.dumps(BODIES["/api/bet"]).encode().ljust(65_536)
    headers = {"Content-Type": "application/json"}
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(part), part)
        for part in (*(body[at : at + 1000] for at in range(0, len(body), 1000)), b"")
    )
    chunked = request("POST", "/api/bet", {**headers, "Transfer-Encoding": "chunked"})
    chunked = chunked.replace(b"Content-Length: 0\r\n", b"") + chunks

    assert platform.http.post("/api/bet", content=body, headers=headers).status_code == 200
    assert exchange(platform.stack.ports["http"], chunked).status == 200


def test_a_repeated_key_replays_the_first_answer(platform: Platform) -> None:
    user, key = platform.new_user("100.00"), "k" * 255
    first = platform.bet(user, "10.5", key, betValue="a")

    repeated = platform.bet(user, "10.50", key, betValue="a")

    assert repeated.status_code == first.status_code == 200
    assert "Idempotent-Replayed" not in first.headers
    assert repeated.headers["Idempotent-Replayed"] == "true"
    ours, theirs = content(first), content(repeated)
    del ours["processingTime"], theirs["processingTime"]
    assert theirs == ours
    assert platform.balance(user) == Decimal("89.50")


def test_a_deposit_credits_the_wallet_once_for_a_key(platform: Platform) -> None:
    user, key = platform.new_user(), str(uuid4())

    first = platform.deposit(user, "1000000", key)
    repeated = platform.deposit(user, "1000000.00", key)

    assert content(first) == content(repeated)
    assert content(first)["newBalance"] == Decimal("1000000.00")
    assert set(content(first)) == {"transactionId", "newBalance"}
    assert repeated.headers["Idempotent-Replayed"] == "true"
    assert platform.rows(
        "SELECT id::text, type, amount, balance_before, balance_after"
        " FROM wallet_transactions WHERE user_id = %s",
        [user],
    ) == [
        (
            *(content(first)["transactionId"], "deposit", Decimal("1000000.00")),
            *(Decimal("0.00"), Decimal("1000000.00")),
        )
    ]


def test_a_key_is_the_users_and_the_routes_own(platform: Platform) -> None:
    one, other = platform.new_user("10.00"), platform.new_user("10.00")

    assert platform.bet(one, "1", "shared").status_code == 200
    assert platform.bet(other, "2", "shared").status_code == 200
    assert platform.deposit(one, "3", "shared").status_code == 200

    assert (platform.balance(one), platform.balance(other)) == (Decimal("12.00"), Decimal("8.00"))


def test_a_refusal_leaves_the_key_free(platform: Platform) -> None:
    user = platform.new_user("1.00")
    assert platform.bet(user, "2", "later").json()["code"] == "insufficient_funds"
    platform.deposit(user, "1")

    answer = platform.bet(user, "2", "later")

    assert answer.status_code == 200
    assert "Idempotent-Replayed" not in answer.headers


def test_bets_are_listed_newest_first_by_offset_and_by_cursor(platform: Platform) -> None:
    user = platform.new_user("100.00")
    placed = [platform.bet(user, f"{number}.25").json()["betId"] for number in range(1, 8)]
    path = f"/api/bets/{user}"

    everything = content(platform.http.get(path))
    by_offset = [
        content(platform.http.get(path, params={"limit": 3, "offset": offset}))
        for offset in (0, 3, 6)
    ]
    by_cursor = [content(platform.http.get(path, params={"limit": 3}))]
    while (cursor := by_cursor[-1]["pagination"]["nextCursor"]) is not None:
        params = {"limit": 3, "cursor": cursor}
        by_cursor.append(content(platform.http.get(path, params=params)))

    assert [bet["betId"] for bet in everything["bets"]] == placed[::-1]
    assert everything["pagination"] == {"limit": 50, "offset": 0, "total": 7, "nextCursor": None}
    for pages in (by_offset, by_cursor):
        assert [bet for page in pages for bet in page["bets"]] == everything["bets"]
        assert {page["pagination"]["total"] for page in pages} == {7}
    newest = everything["bets"][0]
    assert newest == {
        "betId": placed[-1],
        "gameId": GAME,
        "gameName": "Real Madrid vs Barcelona",
        "gameType": "football",
        "gameStatus": "open",
        "amount": Decimal("7.25"),
        "betType": "win",
        "betValue": None,
        "odds": Decimal("2.50"),
        "potentialWin": Decimal("18.13"),
        "status": "accepted",
        "transactionId": newest["transactionId"],
        "createdAt": newest["createdAt"],
    }


def test_somebody_without_bets_has_an_empty_page(platform: Platform) -> None:
    user = platform.new_user()

    page = platform.http.get(f"/api/bets/{user}").json()

    assert page["bets"] == []
    assert page["pagination"]["total"] == 0


def test_games_are_the_open_ones_the_next_to_start_first(platform: Platform) -> None:
    closed = str(uuid4())
    platform.rows(
        "INSERT INTO games (id, name, type, status, starts_at)"
        " VALUES (%s, 'Over', 'tennis', 'closed', now()) RETURNING id",
        [closed],
    )

    games = platform.http.get("/api/games").json()["games"]

    assert {game["gameStatus"] for game in games} == {"open"}
    assert closed not in {game["gameId"] for game in games}
    starts = [datetime.fromisoformat(game["startsAt"]) for game in games]
    assert starts == sorted(starts)
    assert [(game["gameName"], game["gameType"]) for game in games] == [
        ("Real Madrid vs Barcelona", "football"),
        ("Lakers vs Warriors", "basketball"),
        ("Djokovic vs Nadal", "tennis"),
        ("CS:GO Major Championship", "esports"),
        ("Kentucky Derby", "horse_racing"),
    ]


def test_a_wallet_tells_what_it_holds(platform: Platform) -> None:
    user = platform.new_user("12.30")
    platform.bet(user, "2.30")

    wallet = content(platform.http.get(f"/api/wallets/{user}"))

    assert wallet == {
        "userId": user,
        "balance": Decimal("10.00"),
        "currency": "EUR",
        "betCount": 1,
        "updatedAt": wallet["updatedAt"],
    }


@pytest.mark.parametrize("group_by", ["hour", "day"])
def test_analytics_count_bets_by_period(platform: Platform, group_by: str) -> None:
    platform.bet(JOHN, "2.50")
    platform.wait_until_drained()
    today = datetime.now(UTC).date()
    count, total = platform.row("SELECT count(*), sum(amount) FROM bets")

    told = content(
        platform.http.get(
            "/api/analytics/bets",
            params={
                "groupBy": group_by,
                "startDate": (today - timedelta(days=1)).isoformat(),
                "endDate": (today + timedelta(days=1)).isoformat(),
            },
        )
    )

    assert told["groupBy"] == group_by
    assert set(told["period"]) == {"startDate", "endDate"}
    periods = told["analytics"]
    assert sum(period["betCount"] for period in periods) == count
    assert sum(period["totalAmount"] for period in periods) == total
    for period in periods:
        average = period["totalAmount"] / period["betCount"]
        assert abs(period["avgAmount"] - average) <= Decimal("0.005")
    names = [period["period"] for period in periods]
    assert names == sorted(names)
    assert all(datetime.fromisoformat(name) for name in names)
    assert all(("T" in name) == (group_by == "hour") for name in names)


def test_analytics_of_a_time_without_bets_are_empty(platform: Platform) -> None:
    told = platform.http.get(
        "/api/analytics/bets", params={"startDate": "2020-01-01", "endDate": "2020-01-31"}
    ).json()

    assert told == {
        "analytics": [],
        "groupBy": "hour",
        "period": {"startDate": "2020-01-01", "endDate": "2020-01-31"},
    }


def test_long_answers_are_compressed_for_who_takes_it(platform: Platform) -> None:
    port = platform.stack.ports["http"]

    packed = exchange(port, request("GET", "/metrics", {"Accept-Encoding": "gzip"}))
    plain = exchange(port, request("GET", "/metrics"))

    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert len(packed.body) < len(plain.body) / 2
    assert gzip.decompress(packed.body).startswith(b"# HELP betting_store_up")
    assert plain.headers["Content-Encoding"] is None


def test_a_connection_serves_many_requests(platform: Platform) -> None:
    connection = HTTPConnection("127.0.0.1", platform.stack.ports["http"], timeout=30)
    connection.connect()
    first = connection.sock
    for path in ("/api/games", "/api/nothing", f"/api/bets/{uuid4()}", "/api/games"):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.getheader("Connection") == "keep-alive"
    assert connection.sock is first
    connection.close()
