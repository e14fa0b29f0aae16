"""Requests that may be repeated: the first answer is kept a day and given again.

A key is written by the very statement that moves the money, so either both happened or neither.
Whoever comes second finds it in one of three ways: already there (the statement then moves
nothing), there by the time it inserts its own (a unique violation undoes everything), or there
after it was refused (for lack of the funds that its twin took). In each case the key is read again
before anything is answered. A refusal writes no key, so it leaves the key free.
"""

from __future__ import annotations

import hashlib
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple, Protocol, TypeVar

from shared.errors import IdempotencyKeyReused, PostgresUnavailable, RequestInProgress
from shared.json_text import read_json_object, render_json
from shared.postgres import AlreadyExists, LockTimedOut, connection, retrying

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    from shared.postgres import Connection

# Two can happen: an expired key in the way, and its successor expiring while we look.
ROUNDS_MAX = 3
EXPIRED_BATCH_MAX = 1_000
# One accepted request in so many deletes a batch of what expired: five times what comes in.
SWEEP_EVERY = 200

# Parts of a keyed statement: it looks for the key first and, if that is there, touches nothing.
KNOWN_KEY: LiteralString = """
WITH known AS MATERIALIZED (
    SELECT 1 FROM idempotency_keys
    WHERE user_id = %(user_id)s AND route = %(route)s AND key = %(key)s AND expires_at > now()
),"""
UNLESS_KNOWN: LiteralString = "AND NOT EXISTS (SELECT FROM known)"
KEY_KNOWN: LiteralString = "EXISTS (SELECT FROM known)"

_FIND = """
SELECT fingerprint, answer FROM idempotency_keys
WHERE user_id = %(user_id)s AND route = %(route)s AND key = %(key)s AND expires_at > now()
"""

_FORGET = """
DELETE FROM idempotency_keys
WHERE user_id = %(user_id)s AND route = %(route)s AND key = %(key)s AND expires_at <= now()
"""

_DELETE_EXPIRED = """
DELETE FROM idempotency_keys
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM idempotency_keys WHERE expires_at <= now()
    ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
))
"""


@dataclass(frozen=True, slots=True)
class RequestKey:
    """An Idempotency-Key, whose it is, where it was sent, and what the request said."""

    user_id: str
    route: str
    key: str
    fingerprint: str

    @classmethod
    def of(cls, user_id: str, route: str, key: str, command: BaseModel) -> RequestKey:
        """The key of a validated command: 10.5 and 10.50 are the same request."""
        said = hashlib.sha256(render_json(command).encode()).hexdigest()
        return cls(user_id, route, key, said)

    def params(self) -> dict[str, str]:
        """What the statements of this module and the keyed ones of others want."""
        return {
            "user_id": self.user_id,
            "route": self.route,
            "key": self.key,
            "fingerprint": self.fingerprint,
        }


class StoredAnswer(NamedTuple):
    """The first answer, as the keyed statement wrote it: a JSON object."""

    fingerprint: str
    answer: dict[str, Any]


class Attempt(Protocol):
    """What a keyed statement says of itself."""

    @property
    def accepted(self) -> bool:
        """Whether money moved (and the key was written)."""
        ...

    @property
    def key_known(self) -> bool:
        """Whether the key was there before, so that nothing else was looked at."""
        ...


A = TypeVar("A", bound=Attempt)


def attempt_once(key: RequestKey | None, attempt: Callable[[], A]) -> A | StoredAnswer:
    """Run a statement that writes `key`; the first answer if it was carried out before.

    `attempt` runs the statement once and may be repeated. Its refusals are returned, not raised.
    Raises `IdempotencyKeyReused` for another request under the same key, and `RequestInProgress`
    when the lock timeout ends the wait for a twin.
    """
    if key is None:
        return retrying(attempt)
    for _ in range(ROUNDS_MAX):
        outcome = None
        try:
            outcome = retrying(attempt)
        except LockTimedOut as error:
            raise RequestInProgress from error
        except AlreadyExists:
            pass  # a twin was faster, or an expired key is in the way
        if outcome is not None and outcome.accepted:
            _sweep_now_and_then()
            return outcome
        with connection() as conn:
            stored = find(conn, key)
        if stored is not None:
            if stored.fingerprint != key.fingerprint:
                raise IdempotencyKeyReused
            return stored
        if outcome is not None and not outcome.key_known:
            return outcome
        with connection() as conn:
            forget_expired(conn, key)
    raise PostgresUnavailable


def find(conn: Connection, key: RequestKey) -> StoredAnswer | None:
    """The answer kept under a key, if there is one that has not expired."""
    row = conn.row(_FIND, key.params())
    return None if row is None else StoredAnswer(row[0], read_json_object(row[1].encode()))


def forget_expired(conn: Connection, key: RequestKey) -> None:
    """Delete this key if it has expired."""
    conn.execute(_FORGET, key.params())


def delete_expired(conn: Connection, limit: int = EXPIRED_BATCH_MAX) -> int:
    """Delete up to `limit` expired keys, oldest first, and say how many."""
    return conn.execute(_DELETE_EXPIRED, {"limit": limit}).rowcount


def _sweep_now_and_then() -> None:
    # The answer is settled; whatever becomes of the sweep, it is given.
    if random.randrange(SWEEP_EVERY) == 0:  # noqa: S311 - guards no secret
        with suppress(PostgresUnavailable), connection() as conn:
            delete_expired(conn)
