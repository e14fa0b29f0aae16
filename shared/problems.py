"""The one table from errors to HTTP: status, title and RFC 9457 problem details.

Pure: it knows neither FastAPI nor Mangum. Every class below `BettingError` that can leave a
function finds its row here by walking up its own ancestors; a test fails for a class without one.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from shared.errors import (
    BettingError,
    BodyTooLarge,
    Conflict,
    ContentTypeUnsupported,
    Malformed,
    NotFound,
    PoisonRecord,
    Rejected,
    Unavailable,
    Unprocessable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBLEM_MEDIA_TYPE = "application/problem+json"

PROBLEM_SCHEMA: Mapping[str, object] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri"},
        "code": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "message"],
                "properties": {"pointer": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}

STATUS: Mapping[type[BettingError], HTTPStatus] = {
    Malformed: HTTPStatus.BAD_REQUEST,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ContentTypeUnsupported: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    Unprocessable: HTTPStatus.UNPROCESSABLE_ENTITY,
    Rejected: HTTPStatus.BAD_REQUEST,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    # Never the caller's fault: a record comes from a topic, not from a request.
    PoisonRecord: HTTPStatus.INTERNAL_SERVER_ERROR,
    BettingError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def status_of(error: type[BettingError]) -> HTTPStatus:
    """The HTTP status of an error class, from the nearest ancestor in the table."""
    for ancestor in error.__mro__:
        if ancestor in STATUS:
            return STATUS[ancestor]
    msg = f"{error.__name__} has no row in shared.problems.STATUS"
    raise LookupError(msg)


def problem(error: BettingError, instance: str) -> dict[str, object]:
    """Problem details of an error, with its safe details as further members."""
    status = status_of(type(error))
    return {
        "type": f"urn:problem:{error.code.replace('_', '-')}",
        "title": status.phrase,
        "status": status.value,
        "detail": error.message,
        "instance": instance,
        "code": error.code,
        **error.details,
    }


def defect(instance: str) -> dict[str, object]:
    """Problem details of a defect: nothing internal leaves."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return {
        "type": "urn:problem:internal-error",
        "title": status.phrase,
        "status": status.value,
        "detail": "Something went wrong on our side; it has been logged.",
        "instance": instance,
        "code": "internal_error",
    }
