"""Reads what a template says of CORS: HTTP APIs and function URLs say it alike, REST APIs do not.

SAM specification: HttpApiCorsConfiguration, CorsConfiguration (Api), FunctionUrlConfig.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local_stack.model import Cors

if TYPE_CHECKING:
    from local_stack.template.place import Place

_KNOWN = frozenset(
    [
        "AllowCredentials",
        "AllowHeaders",
        "AllowMethods",
        "AllowOrigins",
        "ExposeHeaders",
        "MaxAge",
    ]
)
_REST_KNOWN = frozenset(
    ["AllowCredentials", "AllowHeaders", "AllowMethods", "AllowOrigin", "MaxAge"]
)
MAX_AGE_S_MAX = 86_400


def read_http_cors(place: Place, value: Any) -> Cors | None:
    """`CorsConfiguration` of an HTTP API."""
    cors = read_cors(place, "CorsConfiguration", value)
    return None if cors is None else _checked(place, "CorsConfiguration", cors)


def read_cors(place: Place, name: str, value: Any) -> Cors | None:
    """`CorsConfiguration` of an HTTP API, or `Cors` of a function URL; `true` allows any origin."""
    if value is None or value is False or value == "false":
        return None
    if value is True or value == "true":
        return Cors(allow_origins=("*",))
    given = place.mapping(name, value)
    inner = place.inside(name, given)
    for key in given:
        if key not in _KNOWN:
            inner.fail(key, f"known are {', '.join(sorted(_KNOWN))}")
    max_age = given.get("MaxAge")
    return Cors(
        allow_origins=inner.texts("AllowOrigins", given.get("AllowOrigins")),
        allow_methods=inner.texts("AllowMethods", given.get("AllowMethods")),
        allow_headers=inner.texts("AllowHeaders", given.get("AllowHeaders")),
        expose_headers=inner.texts("ExposeHeaders", given.get("ExposeHeaders")),
        max_age_s=None if max_age is None else inner.integer("MaxAge", max_age, 0, MAX_AGE_S_MAX),
        allow_credentials=inner.boolean("AllowCredentials", given.get("AllowCredentials")),
    )


def read_rest_cors(place: Place, value: Any) -> Cors | None:
    """`Cors` of a REST API, whose texts are quoted once more (`"'*'"`).

    No methods means: those that the path has, and OPTIONS, as SAM writes them.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, dict):
        return Cors(allow_origins=_quoted(place, "Cors", value))
    inner = place.inside("Cors", value)
    for key in value:
        if key not in _REST_KNOWN:
            inner.fail(key, f"known are {', '.join(sorted(_REST_KNOWN))}")
    max_age = "".join(_quoted(inner, "MaxAge", value.get("MaxAge")))
    cors = Cors(
        allow_origins=_quoted(inner, "AllowOrigin", value.get("AllowOrigin", "'*'")),
        allow_methods=_quoted(inner, "AllowMethods", value.get("AllowMethods")),
        allow_headers=_quoted(inner, "AllowHeaders", value.get("AllowHeaders")),
        max_age_s=inner.integer("MaxAge", max_age, 0, MAX_AGE_S_MAX) if max_age else None,
        allow_credentials=inner.boolean("AllowCredentials", value.get("AllowCredentials")),
    )
    return _checked(place, "Cors", cors)


def _quoted(place: Place, name: str, value: Any) -> tuple[str, ...]:
    text = place.text(name, value).strip()
    if text and not (len(text) >= 2 and text[0] == text[-1] == "'") and not text.isdecimal():
        place.fail(name, f"{text!r} is quoted once more, as in \"'*'\"")
    return tuple(item.strip() for item in text.strip("'").split(",") if item.strip())


def _checked(place: Place, name: str, cors: Cors) -> Cors:
    if cors.allow_credentials and "*" in cors.allow_origins:
        place.fail(f"{name}.AllowCredentials", "cannot be true when every origin is allowed")
    return cors
