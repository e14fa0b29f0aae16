"""Which function, and which version of it, a request means."""

from __future__ import annotations

import pytest

from local_stack import errors
from local_stack.triggers.invoke_api.names import (
    NAME_LENGTH_MAX,
    QUALIFIER_LENGTH_MAX,
    Reference,
    executed_version,
    read_reference,
)
from tests.support.functions import a_function

ARN = "arn:aws:lambda:us-east-1:000000000000:function"


@pytest.mark.parametrize(
    ("raw", "qualifier"),
    [
        ("PlaceBet", ""),
        ("PlaceBet:$LATEST", "$LATEST"),
        ("PlaceBet:live", "live"),
        ("PlaceBet%3A%24LATEST", "$LATEST"),
        ("function:PlaceBet", ""),
        ("function:PlaceBet:1", "1"),
        ("000000000000:function:PlaceBet", ""),
        ("000000000000:function:PlaceBet:7", "7"),
        (f"{ARN}:PlaceBet", ""),
        (f"{ARN}:PlaceBet:$LATEST", "$LATEST"),
        (f"{ARN}:PlaceBet".replace(":", "%3A"), ""),
    ],
)
def test_a_function_goes_by_name_partial_arn_and_arn(raw: str, qualifier: str) -> None:
    assert read_reference(raw) == Reference("PlaceBet", qualifier)


@pytest.mark.parametrize("raw", ["a b", "a/b", "a:b:c", "", "arn:aws:s3:::bucket", "a\n", "é"])
def test_what_is_no_name_fails_validation(raw: str) -> None:
    with pytest.raises(
        errors.ValidationFailed,
        match="at 'functionName' failed to satisfy constraint: Member must satisfy regular",
    ):
        read_reference(raw)


def test_a_name_at_the_limit_is_one_and_one_character_more_is_not() -> None:
    assert read_reference("x" * NAME_LENGTH_MAX).name == "x" * NAME_LENGTH_MAX
    with pytest.raises(errors.ValidationFailed, match="length less than or equal to 256"):
        read_reference("x" * (NAME_LENGTH_MAX + 1))


def test_a_qualifier_at_the_limit_is_one_and_one_character_more_is_not() -> None:
    assert read_reference("F", "x" * QUALIFIER_LENGTH_MAX).qualifier == "x" * QUALIFIER_LENGTH_MAX
    with pytest.raises(errors.ValidationFailed, match="length less than or equal to 128"):
        read_reference("F", "x" * (QUALIFIER_LENGTH_MAX + 1))
    with pytest.raises(errors.ValidationFailed, match="Value 'a b' at 'qualifier'"):
        read_reference("F", "a b")


def test_the_qualifier_agrees_with_the_name() -> None:
    assert read_reference("F:live", "live") == Reference("F", "live")
    assert read_reference("F", "live") == Reference("F", "live")
    with pytest.raises(errors.InvalidParameter, match="does not match the specified qualifier"):
        read_reference("F:live", "7")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            "arn:aws:lambda:us-east-1:123456789012:function:F",
            "Function not found: arn:aws:lambda:us-east-1:123456789012:function:F:$LATEST",
        ),
        (
            "123456789012:function:F:live",
            "Function not found: arn:aws:lambda:us-east-1:123456789012:function:F:live",
        ),
        (
            "arn:aws-us-gov:lambda:us-gov-west-1:000000000000:function:F",
            "Functions from 'us-gov-west-1' are not reachable in this region ('us-east-1')",
        ),
    ],
)
def test_another_account_and_another_region_have_no_functions_here(raw: str, message: str) -> None:
    with pytest.raises(errors.FunctionNotFound) as caught:
        read_reference(raw)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("alias", "qualifier", "version"),
    [
        (None, "", "$LATEST"),
        (None, "$LATEST", "$LATEST"),
        ("live", "", "$LATEST"),
        ("live", "live", "1"),
        ("live", "1", "1"),
    ],
)
def test_a_version_is_executed(alias: str | None, qualifier: str, version: str) -> None:
    assert executed_version(a_function("F", alias=alias), qualifier) == version


@pytest.mark.parametrize(("alias", "qualifier"), [(None, "1"), (None, "live"), ("live", "2")])
def test_a_version_that_there_is_none_of_is_not_found(alias: str | None, qualifier: str) -> None:
    with pytest.raises(errors.FunctionNotFound, match=f"Function not found: {ARN}:F:{qualifier}"):
        executed_version(a_function("F", alias=alias), qualifier)
