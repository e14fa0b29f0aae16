"""The service model of Lambda, as botocore carries it, and answers held against it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.awsrequest import HeadersDict
from botocore.parsers import create_parser

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.model import ServiceModel

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "long": int,
    "boolean": bool,
    "double": (int, float),
    "float": (int, float),
    "timestamp": (int, float),  # seconds since 1970, in a JSON body
    "blob": str,
}


@cache
def lambda_model() -> ServiceModel:
    """Lambda's operations and shapes."""
    return botocore.session.Session().get_service_model("lambda")


def assert_fits(operation: str, body: Any) -> None:
    """The JSON body of an answer has no member that the model does not know, and none of another type."""
    shape: Any = lambda_model().operation_model(operation).output_shape
    assert shape is not None, operation
    in_body = {
        name: member
        for name, member in shape.members.items()
        if member.serialization.get("location") is None
    }
    assert set(body) <= set(in_body), set(body) - set(in_body)
    for name, value in body.items():
        _assert_fits_shape(in_body[name], value, f"{operation}.{name}")


def assert_error_fits(code: str, body: Mapping[str, Any]) -> None:
    """The body of an error has the members of its shape and no others."""
    shape: Any = lambda_model().shape_for(code)
    members = shape.members
    assert set(body) <= set(members), f"{code}: {set(body) - set(members)}"


def parse(operation: str, status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """What boto3 would make of an answer."""
    response = {"status_code": status, "headers": HeadersDict(headers), "body": body, "context": {}}
    shape: Any = lambda_model().operation_model(operation).output_shape
    parsed: dict[str, Any] = create_parser("rest-json").parse(response, shape)
    return parsed


def _assert_fits_shape(shape: Any, value: Any, where: str) -> None:
    kind = shape.type_name
    if kind == "structure":
        assert isinstance(value, dict), where
        assert set(value) <= set(shape.members), f"{where}: {set(value) - set(shape.members)}"
        assert set(shape.required_members) <= set(value), f"{where}: something is missing"
        for name, item in value.items():
            _assert_fits_shape(shape.members[name], item, f"{where}.{name}")
    elif kind == "list":
        assert isinstance(value, list), where
        for item in value:
            _assert_fits_shape(shape.member, item, where)
    elif kind == "map":
        assert isinstance(value, dict), where
        for name, item in value.items():
            _assert_fits_shape(shape.key, name, where)
            _assert_fits_shape(shape.value, item, where)
    else:
        assert isinstance(value, _TYPES[kind]), f"{where}: {value!r} is no {kind}"
        assert kind == "boolean" or not isinstance(value, bool), where
        allowed = shape.metadata.get("enum")
        assert not allowed or value in allowed, f"{where}: {value!r} is none of {allowed}"
