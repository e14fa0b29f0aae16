"""Requests read and answers headed, without a socket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from local_stack.services.clickhouse.errors import ClickHouseError
from local_stack.services.clickhouse.protocol import (
    PARAMETERS_MAX,
    SESSION_TIMEOUT_S_MAX,
    VALUE_BYTES_MAX,
    Request,
    Summary,
    after_waiting,
    content_type,
    form_boundary,
    parse_form,
    parse_request,
    with_form_fields,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def parse(method: str = "POST", headers: Mapping[str, str] | None = None, **values: str) -> Request:
    return parse_request(method, urlencode(values).encode(), headers or {})


def test_settings_are_what_is_no_parameter_of_the_transport():
    request = parse(
        query="SELECT 1",
        database="shop",
        param_id="7",
        max_threads="1",
        user="me",
        password="secret",
        query_id="q-1",
        wait_end_of_query="1",
        readonly="0",
        log_comment="mine",
        client_protocol_version="54405",
    )

    assert request.settings == {"max_threads": "1"}
    assert request.parameters == {"id": "7"}
    assert (request.database, request.query_id, request.wait_end) == ("shop", "q-1", True)
    assert not request.read_only


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_request_by_get_is_read_only(method: str):
    assert parse(method).read_only


def test_readonly_can_be_asked_for():
    assert parse(readonly="1").read_only


def test_headers_stand_in_for_parameters():
    headers = {"x-clickhouse-database": "shop", "x-clickhouse-format": "JSON"}

    request = parse(headers=headers)

    assert (request.database, request.default_format) == ("shop", "JSON")
    assert parse(headers=headers, database="x", default_format="CSV").default_format == "CSV"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"compress": "1"}, 48),
        ({"decompress": "1"}, 48),
        ({"query_id": "two words"}, 408),
        ({"query_id": "x" * 129}, 408),
        ({"a b": "1"}, 408),
        ({"x;DROP TABLE t": "1"}, 408),
        ({"param_x'": "1"}, 408),
        ({"session_id": "s", "session_timeout": "soon"}, 374),
        ({"session_id": "s", "session_timeout": "-1"}, 374),
        ({"session_id": "s", "session_timeout": str(SESSION_TIMEOUT_S_MAX + 1)}, 374),
        ({"max_threads": "1" * (VALUE_BYTES_MAX + 1)}, 408),
        ({f"p{index}": "1" for index in range(PARAMETERS_MAX + 1)}, 408),
    ],
)
def test_what_cannot_be_is_refused_with_a_code(values: dict[str, str], code: int):
    with pytest.raises(ClickHouseError) as refused:
        parse("POST", None, **values)

    assert refused.value.code == code


@pytest.mark.parametrize(
    "values",
    [
        {"query_id": "x" * 128},
        {"session_id": "s", "session_timeout": str(SESSION_TIMEOUT_S_MAX)},
        {"max_threads": "1" * VALUE_BYTES_MAX},
        {f"p{index}": "1" for index in range(PARAMETERS_MAX)},
    ],
)
def test_what_is_just_within_a_limit_is_taken(values: dict[str, str]):
    assert parse("POST", None, **values) is not None


@pytest.mark.parametrize("query_string", [b"query=%ff", b"query=\xff", b"a=%ed%a0%80"])
def test_a_url_that_is_not_utf_8_is_refused(query_string: bytes):
    with pytest.raises(ClickHouseError) as refused:
        parse_request("POST", query_string, {})

    assert refused.value.code == 408


def test_an_unknown_content_encoding_is_refused():
    with pytest.raises(ClickHouseError) as refused:
        parse(headers={"content-encoding": "br"})

    assert refused.value.code == 48


def test_compression_of_the_answer_can_be_switched_off():
    headers = {"accept-encoding": "gzip"}

    assert parse(headers=headers).answer_encoding == "gzip"
    assert parse(headers=headers, enable_http_compression="1").answer_encoding == "gzip"
    assert parse(headers=headers, enable_http_compression="0").answer_encoding is None


def test_waiting_takes_from_the_time_a_query_may_run():
    request = parse(max_execution_time="5")

    assert after_waiting(request, 1.5).settings == {"max_execution_time": "3.500"}
    assert after_waiting(parse(), 100.0) == parse()
    assert after_waiting(parse(max_execution_time="0"), 100.0).settings["max_execution_time"] == "0"
    assert after_waiting(parse(max_execution_time="x"), 1.0).settings["max_execution_time"] == "x"
    with pytest.raises(ClickHouseError) as refused:
        after_waiting(request, 5.0)
    assert refused.value.code == 159


def test_a_form_brings_query_and_parameters():
    boundary = form_boundary('multipart/form-data; boundary="b0"')
    body = (
        b'--b0\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT\r\n1\r\n'
        b'--b0\r\nContent-Disposition: form-data; name="param_x"\r\n\r\n\xc3\xa9\r\n--b0--\r\n'
    )

    assert boundary == b"b0"
    request = with_form_fields(parse(max_threads="1"), parse_form(body, boundary))

    assert request.query == "SELECT\r\n1"
    assert request.parameters == {"x": "é"}
    assert request.settings == {"max_threads": "1"}


def test_other_bodies_are_no_form():
    assert form_boundary("text/plain") is None
    assert form_boundary("") is None
    assert form_boundary("application/x-www-form-urlencoded") is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"nothing", 408),
        (b"--b0\r\nno name\r\n\r\nx\r\n--b0--", 408),
        (b'--b0\r\nContent-Disposition: x; name="a"\r\n\r\n\xff\r\n--b0--', 408),
        (b'--b0\r\nContent-Disposition: x; name="a"; filename="f"\r\n\r\nx\r\n--b0--', 48),
    ],
)
def test_a_form_that_cannot_be_read_is_refused(body: bytes, code: int):
    with pytest.raises(ClickHouseError) as refused:
        parse_form(body, b"b0")

    assert refused.value.code == code


@pytest.mark.parametrize(
    ("fmt", "media_type"),
    [
        ("TabSeparated", "text/tab-separated-values; charset=UTF-8"),
        ("CSV", "text/csv; charset=UTF-8; header=absent"),
        ("CSVWithNames", "text/csv; charset=UTF-8; header=present"),
        ("JSON", "application/json; charset=UTF-8"),
        ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
        ("JSONCompact", "application/json; charset=UTF-8"),
        ("Native", "application/octet-stream"),
        ("PrettyCompact", "text/plain; charset=UTF-8"),
    ],
)
def test_formats_have_their_media_types(fmt: str, media_type: str):
    assert content_type(fmt) == media_type


def test_a_summary_is_json_of_strings():
    assert json.loads(Summary(written_rows=3).header())["written_rows"] == "3"
