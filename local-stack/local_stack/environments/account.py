"""What the functions of one host share: the account's concurrency, and room for processes.

Two limits that are easily mixed up. *Concurrency* counts invocations that run, as AWS does: some of
it is set aside by reserved concurrency, the rest is one pool that all other functions draw from.
*Environments* are processes, idle ones too; AWS has as many as it likes, one machine has not, so
`environments_max` bounds them. When it is reached and a function needs one, the environment that
idled longest is ended, whosesoever it is, so that no function starves beside the idle ones of
another.

Nothing here is touched by an invocation that finds an idle environment while `calm` is set.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from local_stack.errors import InvalidParameter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local_stack.environments.environment import Environment

_LOGGER = logging.getLogger(__name__)
UNRESERVED_MIN = 100  # of an account's 1,000: "Understanding Lambda function scaling"
RESERVED_LIMIT = "ReservedFunctionConcurrentInvocationLimitExceeded"
ACCOUNT_LIMIT = "ConcurrentInvocationLimitExceeded"


class Member(Protocol):
    """What the account asks of a pool."""

    limit: int | None

    @property
    def provisioned_concurrency(self) -> int:
        """What is set aside for it even when it runs nothing."""

    @property
    def running(self) -> int:
        """Invocations that run and are not answered yet."""

    @property
    def waiting(self) -> int:
        """Invocations that have been taken in and wait for an environment."""

    @property
    def usable(self) -> int:
        """Environments that are there for invocations, with those that are being forked."""

    def longest_idle(self) -> Environment | None:
        """The idle environment that could go first, if any may."""

    def retire(self, environments: Sequence[Environment]) -> None:
        """End these environments as soon as they run nothing."""

    def serve(self) -> None:
        """What the pool waited for may have come."""


def limit_reason(member: Member) -> str:
    """What Lambda says when the concurrency that `member` may have is used up."""
    return ACCOUNT_LIMIT if member.limit is None else RESERVED_LIMIT


def unreserved_min(concurrency: int) -> int:
    """How much of an account's concurrency stays unreserved: 100, of a small one a tenth."""
    return min(UNRESERVED_MIN, max(1, concurrency // 10))


class Account:
    """The limits of one host, and who waits for room below them. Lives on one event loop."""

    def __init__(self, concurrency: int, environments_max: int) -> None:
        self.concurrency = concurrency
        self.environments_max = environments_max
        self.environments = 0  # processes: alive, ending, or being forked
        self.unreserved = concurrency
        self.calm = True  # no limit is near and nobody waits for one
        self._members: list[Member] = []
        self._starving: dict[Member, None] = {}  # in the order in which they came
        self._evicted: set[Environment] = set()  # told to end, and not gone yet

    def join(self, member: Member) -> None:
        """Count `member` in."""
        self._members.append(member)
        self.limits_changed()

    def limits_changed(self) -> None:
        """A reserved concurrency has changed: what is left for the others has, too."""
        left = self.concurrency - self._reserved()
        self.unreserved = max(left, unreserved_min(self.concurrency))
        self._look()
        self.wake()

    def check_reserved(self, member: Member, limit: int) -> None:
        """Raise `InvalidParameter`, in Lambda's words, if so much cannot be set aside for `member`."""
        if limit < 0:
            msg = "Value at 'reservedConcurrentExecutions' must be greater than or equal to 0"
            raise InvalidParameter(msg)
        others = self._reserved() - (member.limit or 0)
        least = unreserved_min(self.concurrency)
        if self.concurrency - others - limit < least:
            msg = (
                "Specified ReservedConcurrentExecutions for function decreases account's "
                f"UnreservedConcurrentExecution below its minimum value of [{least}]."
            )
            raise InvalidParameter(msg)

    # --- concurrency -------------------------------------------------------------------------

    def refusal(self, member: Member, waiters_max: int | None) -> str:
        """Why one more invocation of `member` is refused, or nothing.

        Up to `waiters_max` may wait for concurrency to come free; None: this one may not.
        """
        if member.limit == 0:
            return RESERVED_LIMIT
        limit, reason = self._concurrency_of(member, with_waiting=True), limit_reason(member)
        if limit > member.usable and not self._can_make_room():
            limit, reason = member.usable, ACCOUNT_LIMIT
        too_many = member.running + member.waiting - limit
        if too_many < 0:
            return ""
        beyond = min(too_many, member.waiting)
        return "" if waiters_max is not None and beyond < waiters_max else reason

    def free(self, member: Member) -> int:
        """How many more invocations of `member` may run right now; not above 0: none."""
        return self._concurrency_of(member, with_waiting=False) - member.running

    def _concurrency_of(self, member: Member, *, with_waiting: bool) -> int:
        """What `member` may have: its own, or what the others leave of the unreserved.

        What is provisioned for another function is taken, whether it is used or not.
        """
        if member.limit is not None:
            return member.limit
        left = self.unreserved
        for other in self._members:
            if other.limit is None and other is not member:
                taken = other.running + (other.waiting if with_waiting else 0)
                left -= max(taken, other.provisioned_concurrency)
        return left

    # --- environments ------------------------------------------------------------------------

    def add(self) -> None:
        """An environment is being started."""
        self.environments += 1
        self._look()

    def remove(self, environment: Environment | None) -> None:
        """One is gone, or could not be started."""
        self.environments -= 1
        assert self.environments >= 0, "more environments ended than were started"
        if environment is not None:
            self._evicted.discard(environment)
        self._look()
        self.wake()

    @property
    def full(self) -> bool:
        """Whether no environment may be added before one is gone."""
        return self.environments >= self.environments_max

    def wait(self, member: Member) -> None:
        """Let `member` look again when an invocation has ended or an environment is gone."""
        self._starving[member] = None
        self._look()

    def make_room(self, member: Member) -> None:
        """`member` waits for room; end the environment that idled longest, if there is one."""
        self.wait(member)
        if len(self._evicted) < len(self._starving):
            found = self._longest_idle()
            if found is not None:
                owner, environment = found
                self._evicted.add(environment)
                owner.retire([environment])

    def must_yield(self, member: Member, environment: Environment) -> bool:
        """Whether `environment`, which `member` could use, goes: another function has none at all."""
        if not self.full or len(self._evicted) >= len(self._starving) or member.usable < 2:
            return False
        if all(other.usable for other in self._starving if other is not member):
            return False
        self._evicted.add(environment)
        return True

    def wake(self) -> None:
        """Let those that wait look again; who still has to, says so again."""
        if not self._starving:
            return
        waiting, self._starving = self._starving, {}
        for member in waiting:
            member.serve()
        self._look()

    def leave(self, member: Member) -> None:
        """`member` is closing: it waits for nothing any more."""
        self._starving.pop(member, None)

    def _can_make_room(self) -> bool:
        return not self.full or bool(self._evicted) or self._longest_idle() is not None

    def _longest_idle(self) -> tuple[Member, Environment] | None:
        found = [(m, e) for m in self._members if (e := m.longest_idle()) is not None]
        return min(found, key=lambda pair: pair[1].idle_since, default=None)

    def _reserved(self) -> int:
        return sum(member.limit or 0 for member in self._members)

    def _look(self) -> None:
        self.calm = not self._starving and self.environments <= self.unreserved
