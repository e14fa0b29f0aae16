"""Pages of a list, as `Marker` and `MaxItems` ask for them. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, TypeVar

from local_stack.errors import InvalidParameter, ValidationFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")
ITEMS_MAX = 10_000  # what MaxItems may ask for; a page is smaller all the same


def page(
    items: Iterable[T],
    key: Callable[[T], str],
    query: Mapping[str, list[str]],
    *,
    size_max: int,
) -> tuple[list[T], str | None]:
    """One page of `items`, in the order of their keys, and the marker of the next, if there is one.

    A marker stands for the last key that was seen, so a list that changes between two pages neither
    repeats nor skips what was there before. Raises `ValidationFailed`, `InvalidParameter`.
    """
    size = min(_max_items(query), size_max)
    after = _read_marker(query.get("Marker", [""])[0])
    rest = sorted((item for item in items if key(item) > after), key=key)
    chosen = rest[:size]
    return chosen, _marker(key(chosen[-1])) if len(rest) > size else None


def _max_items(query: Mapping[str, list[str]]) -> int:
    text = query.get("MaxItems", [str(ITEMS_MAX)])[0]
    try:
        size = int(text)
    except ValueError as error:
        msg = f"MaxItems is no number: {text}"
        raise InvalidParameter(msg) from error
    if size < 1:
        raise ValidationFailed(size, "maxItems", "have value greater than or equal to 1")
    if size > ITEMS_MAX:
        constraint = f"have value less than or equal to {ITEMS_MAX}"
        raise ValidationFailed(size, "maxItems", constraint)
    return size


def _marker(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _read_marker(marker: str) -> str:
    try:
        return base64.b64decode(marker, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        msg = "Invalid marker."
        raise InvalidParameter(msg) from error
