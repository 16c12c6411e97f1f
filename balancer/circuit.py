"""Whether a service gets calls at all: its circuit breaker. Closed means that calls flow, as in electricity.

Rules of this file: the state changes by `TABLE` alone, and what the table does not name raises and changes
nothing. A call is judged once, when it is known how it ended; a call that says nothing of the service (its
client left, nobody could be chosen) gives its place back.
"""

from collections.abc import Mapping
from enum import StrEnum

from balancer.model import Failed, Refused, RefusedReason
from balancer.outcome import Kind, Side
from balancer.policy import CircuitPolicy


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    """Every call is refused."""
    HALF_OPEN = "half_open"
    """A few calls, the probes, find out whether the service is back; the others are refused."""


class Event(StrEnum):
    TRIPPED = "tripped"
    """Too many calls of the window have failed."""
    RESTED = "rested"
    """It has been open for `open_s`."""
    PROBE_FAILED = "probe_failed"
    PROBES_SUCCEEDED = "probes_succeeded"
    """As many as there had to be."""


TABLE: Mapping[tuple[State, Event], State] = {
    (State.CLOSED, Event.TRIPPED): State.OPEN,
    (State.OPEN, Event.RESTED): State.HALF_OPEN,
    (State.HALF_OPEN, Event.PROBE_FAILED): State.OPEN,
    (State.HALF_OPEN, Event.PROBES_SUCCEEDED): State.CLOSED,
}

ORDINARY = 0
"""The round of a call that is no probe."""
FULL_ROUND_S = 1.0
"""When to come back while the probes are under way: nobody knows how long they take."""


class ImpossibleEvent(Exception):
    """The table does not name what would follow."""


def step(state: State, event: Event) -> State:
    """What follows. Raises `ImpossibleEvent`."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise ImpossibleEvent(f"{event} while {state}") from None


class CircuitLedger:
    """The circuit of one service. Owned by the balancer; `now` is monotonic seconds.

    Whoever is let in by `enter` tells the end by `ended` or `nothing_known`, with the round it was given.
    """

    def __init__(self, policy: CircuitPolicy) -> None:
        self.policy = policy
        self.state = State.CLOSED
        self._window = _Window()
        self._open_until = 0.0
        self._round = ORDINARY
        self._probing = 0
        self._succeeded = 0

    def enter(self, now: float) -> int | Refused:
        """The round that the call belongs to, `ORDINARY` for most; or why it may not go."""
        if self.state is State.CLOSED:
            return ORDINARY
        if self.state is State.OPEN:
            if now < self._open_until:
                return Refused(RefusedReason.CIRCUIT_OPEN, self._open_until - now)
            self._go(Event.RESTED, now)
        # While none is under way there is room, also when by now fewer would do than have succeeded.
        if self._probing and self._probing + self._succeeded >= self.policy.probes:
            return Refused(RefusedReason.CIRCUIT_OPEN, FULL_ROUND_S)
        self._probing += 1
        return self._round

    def state_at(self, now: float) -> State:
        """As a call would find it: one that has rested lets probes through, also before one came."""
        return State.HALF_OPEN if self.state is State.OPEN and now >= self._open_until else self.state

    def ended(self, round: int, now: float, *, ok: bool) -> None:
        """A call that was let in has ended so. Of those from before the last change nothing follows."""
        if round != ORDINARY:
            if round == self._round and self.state is State.HALF_OPEN:
                self._probe_ended(now, ok=ok)
        elif self.state is State.CLOSED:
            calls, failed = self._window.count(now, self.policy.window_s, ok=ok)
            if not ok and calls >= self.policy.min_requests and failed >= self.policy.failure_ratio * calls:
                self._go(Event.TRIPPED, now)

    def nothing_known(self, round: int) -> None:
        """A call that was let in has ended without a word about the service: another may probe instead."""
        if round != ORDINARY and round == self._round and self.state is State.HALF_OPEN:
            self._probing -= 1

    def _probe_ended(self, now: float, *, ok: bool) -> None:
        self._probing -= 1
        if not ok:
            self._go(Event.PROBE_FAILED, now)
            return
        self._succeeded += 1
        if self._succeeded >= self.policy.probes:
            self._go(Event.PROBES_SUCCEEDED, now)

    def _go(self, event: Event, now: float) -> None:
        self.state = step(self.state, event)
        self._probing = self._succeeded = 0
        match self.state:
            case State.OPEN:
                self._open_until = now + self.policy.open_s
            case State.HALF_OPEN:
                self._round += 1
            case State.CLOSED:
                self._window = _Window()

    def __repr__(self) -> str:
        return f"<CircuitLedger: {self.state}, {self._probing} probes under way>"


def verdict_of_status(status: int) -> bool:
    """Whether an instance that answers so is well."""
    return status < 500


def verdict_of_failure(failed: Failed, *, hurried: bool) -> bool | None:
    """False when the service is at fault for that end, `None` when it says nothing of the service.

    `hurried`: the caller had left less time than the route gives. A service can't be closed to all by one
    client that is always in a hurry.
    """
    outcome = failed.outcome
    if outcome.blames_instance:
        return False
    late = outcome.side is Side.GATEWAY and outcome.kind is Kind.TIMEOUT and failed.attempts > 0
    return False if late and not hurried else None


class _Window:
    """Calls of the last half to whole of a window, in two halves: what is counted in one is forgotten when
    the next but one begins."""

    def __init__(self) -> None:
        self._turn = float("-inf")
        self._calls = [0, 0]
        self._failed = [0, 0]

    def count(self, now: float, window_s: float, *, ok: bool) -> tuple[int, int]:
        """Counts one; gives all calls, and those of them that failed."""
        half_s = window_s / 2
        if now >= self._turn:
            idle = now >= self._turn + half_s
            self._calls = [0, 0 if idle else self._calls[0]]
            self._failed = [0, 0 if idle else self._failed[0]]
            self._turn = now + half_s
        self._calls[0] += 1
        self._failed[0] += not ok
        return sum(self._calls), sum(self._failed)
