"""What can go wrong, as a tree. Errors know their kind; `shared.problems` alone knows HTTP.

    BettingError                     everything we raise on purpose; has code and safe details
    ├─ Rejected                      the caller's fault or the world's state; not logged as error
    │  ├─ Malformed                  BodyMalformed, BodyTooLarge, ContentTypeUnsupported
    │  ├─ NotFound                   UserNotFound, GameNotFound, BetNotFound, RouteNotFound
    │  ├─ Conflict                   InsufficientFunds, GameNotOpen, UserNotActive,
    │  │                             BalanceLimitReached, RequestInProgress
    │  └─ Unprocessable              ValidationFailed, IdempotencyKeyReused
    ├─ Unavailable                   an operational error: warn, count, retry later
    │  └─ PostgresUnavailable, KafkaUnavailable, ClickHouseUnavailable, OutOfTime
    └─ PoisonRecord                  a Kafka record that can never be processed

Anything else is a defect. The first line of an error's docstring is its message; `details` are
safe to show to the caller, the cause (`__cause__`) never is.
"""

from __future__ import annotations

from typing import ClassVar


class BettingError(Exception):
    """Something went wrong that we know of."""

    code: ClassVar[str] = "betting_error"
    # Seconds after which a repeat may succeed; None means that a repeat will not help.
    retry_after_s: ClassVar[int | None] = None

    def __init__(self, message: str | None = None, **details: object) -> None:
        self.message = message or type(self).default_message()
        self.details = details
        super().__init__(self.message)

    @classmethod
    def default_message(cls) -> str:
        """The first line of the docstring."""
        return (cls.__doc__ or cls.__name__).partition("\n")[0]


class Rejected(BettingError):
    """The request was rejected."""

    code = "rejected"


class Malformed(Rejected):
    """The request cannot be read."""

    code = "malformed"


class BodyMalformed(Malformed):
    """The body is not a JSON object."""

    code = "body_malformed"


class BodyTooLarge(Malformed):
    """The body is too large."""

    code = "payload_too_large"


class ContentTypeUnsupported(Malformed):
    """The body must be application/json."""

    code = "content_type_unsupported"


class NotFound(Rejected):
    """There is no such thing."""

    code = "not_found"


class UserNotFound(NotFound):
    """There is no such user."""

    code = "user_not_found"


class GameNotFound(NotFound):
    """There is no such game."""

    code = "game_not_found"


class BetNotFound(NotFound):
    """There is no such bet."""

    code = "bet_not_found"


class RouteNotFound(NotFound):
    """There is nothing at this path for this method."""

    code = "route_not_found"


class Conflict(Rejected):
    """The state of the world forbids it."""

    code = "conflict"


class InsufficientFunds(Conflict):
    """The wallet holds less than the bet costs."""

    code = "insufficient_funds"


class GameNotOpen(Conflict):
    """The game takes no bets."""

    code = "game_not_open"


class UserNotActive(Conflict):
    """The user may not move money."""

    code = "user_not_active"


class BalanceLimitReached(Conflict):
    """The wallet would hold more than a wallet may."""

    code = "balance_limit_reached"


class RequestInProgress(Conflict):
    """A request with this Idempotency-Key is still running."""

    code = "request_in_progress"
    retry_after_s = 1


class Unprocessable(Rejected):
    """The request can be read, but not carried out as it is."""

    code = "unprocessable"


class ValidationFailed(Unprocessable):
    """The request is not valid; `errors` says where."""

    code = "validation_failed"


class IdempotencyKeyReused(Unprocessable):
    """This Idempotency-Key was used for another request."""

    code = "idempotency_key_reused"


class Unavailable(BettingError):
    """A part that is needed for this does not answer; try again."""

    code = "unavailable"
    retry_after_s = 1


class PostgresUnavailable(Unavailable):
    """The database does not answer; try again."""

    code = "postgres_unavailable"


class KafkaUnavailable(Unavailable):
    """The event broker does not answer; try again."""

    code = "kafka_unavailable"


class ClickHouseUnavailable(Unavailable):
    """The analytics store does not answer; try again."""

    code = "clickhouse_unavailable"


class OutOfTime(Unavailable):
    """The time for this ran out; try again."""

    code = "out_of_time"


class PoisonRecord(BettingError):
    """The record can never be processed."""

    code = "poison_record"
