"""Errors as ClickHouse words them."""

from __future__ import annotations

import pytest

from local_stack.services.clickhouse.errors import ClickHouseError, Code, exception_trailer


def test_the_engines_text_is_read():
    error = ClickHouseError.from_engine("Code: 60. DB::Exception: No table `t`. (UNKNOWN_TABLE)")

    assert (error.code, error.status) == (60, 404)
    assert (
        error.text("26.9.2.1")
        == "Code: 60. DB::Exception: No table `t`. (UNKNOWN_TABLE) (version 26.9.2.1)"
    )


def test_a_version_is_not_said_twice():
    text = "Code: 73. DB::Exception: Unknown format. (UNKNOWN_FORMAT) (version 26.9.2.1)"

    assert ClickHouseError.from_engine(text).text("26.9.2.1") == text


def test_our_own_errors_get_their_name():
    error = ClickHouseError(Code.READONLY, "No")

    assert error.text("1.2") == "Code: 164. DB::Exception: No (READONLY) (version 1.2)"


def test_a_text_that_is_no_exception_is_kept():
    assert ClickHouseError.from_engine("engine on fire").code == Code.STD_EXCEPTION


@pytest.mark.parametrize(
    ("code", "status"),
    [
        *((62, 400), (60, 404), (81, 404), (115, 404), (159, 408), (202, 503), (229, 413)),
        *((48, 501), (497, 403), (164, 500), (241, 500), (395, 500), (408, 400), (439, 503)),
        (999_999, 500),
    ],
)
def test_codes_have_the_status_of_clickhouse(code: int, status: int):
    assert ClickHouseError(code, "x").status == status


def test_a_failing_answer_ends_in_its_tag_twice():
    trailer = exception_trailer("Code: 1. é", "abc")

    assert trailer == "\r\n__exception__\r\nabc\r\nCode: 1. é\n12 abc\r\n__exception__\r\n".encode()
