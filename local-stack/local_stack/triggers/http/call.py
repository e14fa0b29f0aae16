"""One request as the events of every payload format need it. Pure: no socket, no clock."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local_stack.http1 import HttpRequest

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
# The types HTTP API hands over as text; everything else arrives base64-encoded.
_TEXT_TYPES = ("text/", "application/json", "application/javascript", "application/xml")
_TEXT_SUFFIXES = ("+json", "+xml")


@dataclass(slots=True)
class Call:
    """A request, its headers joined as payload 2.0 has them, and what the gateway knows of it."""

    request: HttpRequest
    headers: dict[str, str]  # names in lower case, without `cookie`
    cookies: list[str]
    request_id: str
    epoch_ms: int  # when it arrived

    @property
    def source_ip(self) -> str:
        """The address that Nginx saw: the last forwarded; earlier ones are the client's word."""
        forwarded = self.headers.get("x-forwarded-for")
        if forwarded:
            address = forwarded.rpartition(",")[2].strip()
            if address:
                return address
        return self.request.client_ip

    @property
    def cookie_header(self) -> str:
        """All cookies as one header, or nothing."""
        return "; ".join(self.cookies)


def split_headers(raw: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, str], list[str]]:
    """Headers by lower-case name, repeated ones joined by commas, and the cookies apart."""
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for raw_name, raw_value in raw:
        name, value = str(raw_name, "latin-1"), str(raw_value, "latin-1")
        if name in headers:
            headers[name] += "," + value
        elif name == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";") if cookie.strip()]
        else:
            headers[name] = value
    return headers, cookies


def query_values(raw: str) -> dict[str, list[str]]:
    """The query, decoded, each name with all of its values in order."""
    values: dict[str, list[str]] = {}
    for field in raw.split("&"):
        if field:
            name, _, value = field.partition("=")
            values.setdefault(_decoded(name), []).append(_decoded(value))
    return values


def _decoded(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    return unquote(text) if "%" in text else text


def http_api_body(body: bytes, content_type: str) -> tuple[str, bool]:
    """The body as an event has it, and whether that is base64: the content type decides."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith(_TEXT_TYPES) or kind.endswith(_TEXT_SUFFIXES):
        try:
            return body.decode("utf-8"), False
        except UnicodeDecodeError:
            pass  # says text, and is none
    return base64.b64encode(body).decode("ascii"), True


def decoded_path(path: str) -> str:
    """The path as HTTP API shows it: percent-decoded, and cut at a `?` that was encoded.

    REST APIs and function URLs hand the path over as it was sent
    (github.com/middleapi/standard-server/pull/93, from captures of all three).
    """
    return unquote(path).partition("?")[0] if "%" in path else path


@lru_cache(maxsize=16)  # requests of one second share it
def clf_time(epoch_s: int) -> str:
    """The time as API Gateway writes it: `12/Mar/2020:19:03:58 +0000`."""
    now = datetime.fromtimestamp(epoch_s, tz=UTC)
    month = _MONTHS[now.month - 1]  # strftime's %b follows the locale
    return f"{now.day:02}/{month}/{now.year}:{now.hour:02}:{now.minute:02}:{now.second:02} +0000"
