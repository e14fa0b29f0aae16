"""ClickHouse's HTTP interface, as far as it is words: a request read, an answer's head written.

Pure. https://clickhouse.com/docs/interfaces/http says what the parameters and headers mean. User
names and passwords are not even looked at: the front serves loopback only and has no users.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from local_stack.services.clickhouse.encodings import check_encoding, choose_encoding
from local_stack.services.clickhouse.errors import ClickHouseError, Code

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMETERS_MAX = 1000  # ClickHouse's http_max_fields
VALUE_BYTES_MAX = 128 * 1024  # ClickHouse's http_max_field_value_size; the query has its own limit
SESSION_TIMEOUT_S = 60
SESSION_TIMEOUT_S_MAX = 3600
DEFAULT_FORMAT = "TabSeparated"
DEFAULT_DATABASE = "default"
SERVER_NAME = "local-stack"
TIMEZONE = "UTC"

# Parameters of the transport; the engine must not see them as settings. `readonly` is enforced by
# the front, and `log_comment` is how the front finds a running query again.
_TRANSPORT = frozenset(
    {"query", "query_id", "database", "default_format", "user", "password", "quota_key", "role"}
    | {"session_id", "session_timeout", "session_check", "close_session"}
    | {"compress", "decompress", "enable_http_compression", "http_zlib_compression_level"}
    | {"buffer_size", "wait_end_of_query", "http_wait_end_of_query", "http_response_buffer_size"}
    | {"send_progress_in_http_headers", "http_headers_progress_interval_ms", "stacktrace"}
    | {"cancel_http_readonly_queries_on_client_close", "client_protocol_version"}
    | {"add_http_cors_header", "readonly", "log_comment"}
)
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_QUERY_ID = re.compile(r"[\x21-\x7e]{1,128}")
_BOUNDARY = re.compile(r"multipart/form-data;.*\bboundary=\"?([^\";]+)\"?", re.IGNORECASE)
_FIELD_NAME = re.compile(rb"\bname=\"([^\"]*)\"")

# Content types as ClickHouse's output formats name them.
_CONTENT_TYPES = (
    (re.compile(r"(TSV|TabSeparated)"), "text/tab-separated-values; charset=UTF-8"),
    (re.compile(r"CSVWith"), "text/csv; charset=UTF-8; header=present"),
    (re.compile(r"CSV"), "text/csv; charset=UTF-8; header=absent"),
    (re.compile(r"(JSON\w*EachRow|JSONLines|NDJSON)"), "application/x-ndjson; charset=UTF-8"),
    (re.compile(r"JSON"), "application/json; charset=UTF-8"),
    (re.compile(r"XML"), "application/xml; charset=UTF-8"),
    (re.compile(r"Markdown"), "text/markdown; charset=UTF-8"),
    (
        re.compile(
            r"(Native|RowBinary|Parquet|ORC|Avro|Arrow|MsgPack|Protobuf|CapnProto|Npy|BSON)"
        ),
        "application/octet-stream",
    ),
)


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What a request says about its session."""

    id: str
    timeout_s: int = SESSION_TIMEOUT_S
    must_exist: bool = False
    close: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One query, as the request's line, headers and form fields say it; the body is beside it."""

    query: str = ""
    database: str | None = None  # None: the session's, or `default`
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)  # of {name:Type}, without param_
    default_format: str = DEFAULT_FORMAT
    query_id: str = ""
    session: SessionRequest | None = None
    read_only: bool = False
    wait_end: bool = False
    body_encoding: str = ""
    answer_encoding: str | None = None


def parse_request(method: str, query_string: bytes, headers: Mapping[str, str]) -> Request:
    """Read the request line and the headers (names in lower case).

    Raises `ClickHouseError` for what is malformed, over a limit or not supported.
    """
    values = _parse_parameters(query_string)
    _refuse_native_compression(values)
    body_encoding = headers.get("content-encoding", "").strip().lower()
    check_encoding(body_encoding)
    compress = _flag(values, "enable_http_compression", default=True)
    query_id = values.get("query_id", "")
    if query_id and not _QUERY_ID.fullmatch(query_id):
        msg = "query_id must be 1 to 128 visible ASCII characters"
        raise ClickHouseError(Code.BAD_REQUEST_PARAMETER, msg)
    return Request(
        query=values.get("query", ""),
        database=values.get("database") or headers.get("x-clickhouse-database") or None,
        settings=_settings(values),
        parameters=_query_parameters(values),
        default_format=values.get("default_format")
        or headers.get("x-clickhouse-format")
        or DEFAULT_FORMAT,
        query_id=query_id,
        session=_parse_session(values),
        read_only=method in {"GET", "HEAD"} or values.get("readonly", "0") != "0",
        wait_end=_flag(values, "wait_end_of_query") or _flag(values, "http_wait_end_of_query"),
        body_encoding=body_encoding,
        answer_encoding=choose_encoding(headers.get("accept-encoding", "")) if compress else None,
    )


def with_form_fields(request: Request, fields: Mapping[str, str]) -> Request:
    """The request with the fields of its multipart body beside those of its URL."""
    return replace(
        request,
        query=fields.get("query", "") or request.query,
        settings={**request.settings, **_settings(fields)},
        parameters={**request.parameters, **_query_parameters(fields)},
    )


def after_waiting(request: Request, waited_s: float) -> Request:
    """The request with the rest of its time: `max_execution_time` counts from its arrival.

    So an insert that had to wait ends when its sender expects it to. Raises `ClickHouseError` when
    nothing is left.
    """
    try:
        limit_s = float(request.settings.get("max_execution_time", "0"))
    except ValueError:
        return request  # the engine will refuse it
    if not limit_s > 0:
        return request
    left_s = limit_s - waited_s
    if left_s <= 0:
        msg = f"Timeout exceeded: waited {waited_s:.3f} s, maximum: {limit_s:g} s"
        raise ClickHouseError(Code.TIMEOUT_EXCEEDED, msg)
    return replace(request, settings={**request.settings, "max_execution_time": f"{left_s:.3f}"})


def form_boundary(content_type: str) -> bytes | None:
    """The boundary of a multipart form; None when the body is not one."""
    match = _BOUNDARY.match(content_type)
    return match[1].encode("latin-1") if match else None


def parse_form(body: bytes, boundary: bytes) -> dict[str, str]:
    """The text fields of a multipart form, as clickhouse-connect sends long parameters.

    Raises `ClickHouseError` for files (external tables), and for what is not a form.
    """
    fields: dict[str, str] = {}
    parts = body.split(b"--" + boundary)
    if len(parts) < 2 or len(parts) > PARAMETERS_MAX + 2:
        raise ClickHouseError(Code.BAD_REQUEST_PARAMETER, "The multipart body cannot be read")
    for part in parts[1:-1]:
        head, separator, value = part.partition(b"\r\n\r\n")
        name = _FIELD_NAME.search(head)
        if not separator or name is None:
            raise ClickHouseError(Code.BAD_REQUEST_PARAMETER, "A part of the form has no name")
        if b"filename=" in head:
            msg = "External tables (files in a form) are not supported"
            raise ClickHouseError(Code.NOT_IMPLEMENTED, msg)
        fields[_text(name[1])] = _text(value.removesuffix(b"\r\n"))
    return fields


def content_type(output_format: str) -> str:
    """The media type of an output format."""
    for pattern, media_type in _CONTENT_TYPES:
        if pattern.match(output_format):
            return media_type
    return "text/plain; charset=UTF-8"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a query did, for the header `X-ClickHouse-Summary`."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0
    elapsed_ns: int = 0

    def header(self) -> str:
        """The value of the header: JSON, every number a string."""
        numbers = {name: str(getattr(self, name)) for name in self.__slots__}
        return json.dumps({**numbers, "total_rows_to_read": "0"}, separators=(",", ":"))


def _parse_parameters(query_string: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=PARAMETERS_MAX,
        )
    except ValueError as error:  # also UnicodeDecodeError
        msg = f"The URL cannot be read: {error}"
        raise ClickHouseError(Code.BAD_REQUEST_PARAMETER, msg) from error
    values = dict(pairs)
    for name, value in values.items():
        if name != "query" and len(value) > VALUE_BYTES_MAX:
            msg = f"Parameter {name[:100]} is over {VALUE_BYTES_MAX} characters; send it as a form"
            raise ClickHouseError(Code.BAD_REQUEST_PARAMETER, msg)
    return values


def _settings(values: Mapping[str, str]) -> dict[str, str]:
    settings = {}
    for name, value in values.items():
        if name in _TRANSPORT or name.startswith("param_"):
            continue
        if not _SETTING_NAME.fullmatch(name):
            msg = f"{name[:100]!r} is not the name of a setting"
            raise ClickHouseError(Code.BAD_REQUEST_PARAMETER, msg)
        settings[name] = value
    return settings


def _query_parameters(values: Mapping[str, str]) -> dict[str, str]:
    found = {
        name.removeprefix("param_"): value
        for name, value in values.items()
        if name.startswith("param_")
    }
    for name in found:
        if not _SETTING_NAME.fullmatch(name):
            msg = f"{name[:100]!r} is not the name of a query parameter"
            raise ClickHouseError(Code.BAD_REQUEST_PARAMETER, msg)
    return found


def _parse_session(values: Mapping[str, str]) -> SessionRequest | None:
    session_id = values.get("session_id", "")
    if not session_id:
        return None
    text = values.get("session_timeout", str(SESSION_TIMEOUT_S))
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        msg = f"Invalid session timeout: '{text[:100]}'"
        raise ClickHouseError(Code.INVALID_SESSION_TIMEOUT, msg)
    timeout_s = int(text)
    if timeout_s > SESSION_TIMEOUT_S_MAX:
        msg = (
            f"Session timeout '{timeout_s}' is larger than max_session_timeout: "
            f"{SESSION_TIMEOUT_S_MAX}. Maximum session timeout could be modified in configuration file."
        )
        raise ClickHouseError(Code.INVALID_SESSION_TIMEOUT, msg)
    return SessionRequest(
        id=session_id,
        timeout_s=timeout_s,
        must_exist=_flag(values, "session_check"),
        close=_flag(values, "close_session"),
    )


def _refuse_native_compression(values: Mapping[str, str]) -> None:
    for name in ("compress", "decompress"):
        if _flag(values, name):
            msg = (
                f"{name}=1 (ClickHouse's own block compression) is not supported; use "
                "Content-Encoding and Accept-Encoding with gzip, deflate, zstd or lz4"
            )
            raise ClickHouseError(Code.NOT_IMPLEMENTED, msg)


def _flag(values: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    value = values.get(name)
    return default if value is None else value.lower() in {"1", "true", "yes", "on"}


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        msg = f"A form field is not UTF-8: {error.reason}"
        raise ClickHouseError(Code.BAD_REQUEST_PARAMETER, msg) from error
