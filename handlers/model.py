"""The words of seat allocation: handlers, seats, and why somebody got none.

Times are seconds on one clock, the store's. A `jti` names one ticket, and so one seat, for ever.

What is made for every seat is a `NamedTuple`, which costs a third of a frozen dataclass.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, NewType

HandlerId = NewType("HandlerId", str)
Jti = NewType("Jti", str)
Uid = NewType("Uid", str)
Epoch = int
"""Milliseconds at which a handler process started: a higher one is a later incarnation."""


class Admin(StrEnum):
    """What an operator wants of a handler. Kept apart from liveness, so that a heartbeat can't
    bring a draining handler back."""

    UP = "up"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Known:
    """A handler as the registry lists it, whether or not its process speaks to us."""

    id: HandlerId
    url: str
    path: str = "/ws"
    capacity: int | None = None
    weight: int = 1
    healthy: bool = True
    """Passing in the registry (a suspect counts as passing)."""
    draining: bool = False
    """In maintenance: keeps its clients, gets no new ones."""
    speaks: bool = False
    """Its process runs the SDK, so it gets nobody before it has said hello: only a hello tells the
    incarnation that a ticket must name."""


@dataclass(frozen=True, slots=True)
class Hello:
    """A handler process introduces itself. `known` are the jtis it has accepted and not yet reported."""

    id: HandlerId
    epoch: Epoch
    url: str
    path: str
    capacity: int
    weight: int = 1
    known: tuple[Jti, ...] = ()
    connections: int = 0


class Move(NamedTuple):
    """A client that should get a seat elsewhere, keeping its session."""

    uid: Uid
    session_id: str


@dataclass(frozen=True, slots=True)
class Report:
    """Absolute counts of one handler. Counted only if `seq` is higher than the last one taken."""

    id: HandlerId
    epoch: Epoch
    seq: int
    connections: int
    confirmed: tuple[Jti, ...] = ()
    closed: tuple[Jti, ...] = ()
    leaving: bool = False
    """The process is stopping: it keeps its clients for a moment and wants no new ones."""
    move: tuple[Move, ...] = ()
    """Clients it asks seats elsewhere for."""


class SeatRequest(NamedTuple):
    uid: Uid
    jti: Jti
    client_id: str | None = None
    """Makes repeats idempotent: the same id within the hold gets the same seat."""
    last: HandlerId | None = None
    exclude: frozenset[HandlerId] = frozenset()
    slot: float | None = None
    """The appointment that an earlier refusal gave, in the store's seconds."""
    moving: bool = False
    """A connection that moves away from its handler: it has a seat already, so it counts against nobody's
    limit, its new one is kept for `PoolSettings.moving_s`, and it is never told to come back."""


class Seat(NamedTuple):
    """A reservation: guaranteed until `guaranteed_until`, counted until `held_until`.

    `now` is the store's time of this answer: differences to it are durations, which hold on any clock.
    """

    jti: Jti
    uid: Uid
    handler: HandlerId
    epoch: Epoch
    """0 for a handler that has never introduced itself."""
    url: str
    path: str
    guaranteed_until: float
    held_until: float
    ticket_until: float
    """End of the ticket. A repeated answer for one seat has the same, so that no second ticket of a
    `jti` outlives the handler's memory of the first."""
    now: float
    load: int
    """Connections plus held seats of that handler, this seat included."""
    sequence: int
    """Number of this allocation in the pool."""


class SeatRefusal(StrEnum):
    """Why there is no seat; the error's name and reason and a metric label."""

    NO_CAPACITY = "no_capacity"
    NO_HANDLERS = "no_handlers"
    RATE_LIMITED = "rate_limited"
    COME_BACK = "come_back"
    """There is room, but whoever has it takes in no more clients at this moment."""


@dataclass(frozen=True, slots=True)
class SeatRefused:
    reason: SeatRefusal
    retry_after_s: float
    slot: float | None = None
    """Of a COME_BACK: the appointment, in the store's seconds. `None` when the book is full."""
    now: float = 0.0
    """The store's time of this answer."""


class DrainOrder(NamedTuple):
    """What is wanted of a handler that is to lose its clients."""

    remaining_s: float
    """Until the deadline; 0 once that has passed."""
    rate: float | None = None
    """Clients per second that may be moved; `None`: as many as the deadline asks for."""


class ReportRefusal(StrEnum):
    UNKNOWN_HANDLER = "unknown_handler"
    """Say hello again: this store has no record of you."""
    STALE_EPOCH = "stale_epoch"
    """A later process has taken your id: stop."""


@dataclass(frozen=True, slots=True)
class ReportRefused:
    reason: ReportRefusal


@dataclass(frozen=True, slots=True)
class Located:
    """Where a user sits, as far as the store knows."""

    uid: Uid
    handler: HandlerId
    epoch: Epoch
    url: str
    connected: bool
    """Confirmed by the handler, and not closed since."""


@dataclass(frozen=True, slots=True)
class HandlerState:
    """One handler as the store sees it, for operators and metrics."""

    id: HandlerId
    url: str
    epoch: Epoch
    capacity: int
    connections: int
    held: int
    admin: Admin
    eligible: bool
    why_not: str
    """Empty when eligible."""
    last_report_age_s: float | None
    path: str = "/ws"
    weight: int = 1
    drain: DrainOrder | None = None
    """Also while the registry has it in maintenance."""
    tokens: float = 0.0
    """Clients it takes in at once."""
    joins_per_s: float = 0.0
    """Clients it takes in per second, less than the pool's while it is new."""


class Candidate(NamedTuple):
    """A handler as it stood in the order when somebody was seated."""

    handler: HandlerId
    load: int
    weight: int
    allocated: int


class Decision(NamedTuple):
    """Why this handler: everything the choice depended on."""

    sequence: int
    at: float
    uid: Uid
    chosen: HandlerId
    why: str
    """`least_loaded` or `affinity`."""
    candidates: tuple[Candidate, ...]
    """The first of the order."""
    excluded: tuple[HandlerId, ...] = ()
    last: HandlerId | None = None


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """The limits of one pool. The hold outlives the guarantee by the time a death takes to be
    noticed: without that, lost confirmations over-commit a handler (ALLOCATION 1.4)."""

    name: str = "default"
    capacity: int = 1000
    guaranteed_s: float = 12.0
    ticket_s: float = 60.0
    dead_after_s: float = 3.0
    seats_per_user: int = 5
    """Unused seats of one user. Beyond that, one whose hold has ended is replaced; none that is held."""
    joins_per_s: float = 200.0
    """Clients that one handler takes in per second without those who are there noticing."""
    joins_burst: int = 50
    slow_start_s: float = 30.0
    """Over so long a new process comes up to `joins_per_s`."""
    horizon_s: float = 60.0
    """So far ahead appointments are made."""
    moving_s: float = 30.0
    """How long a seat is kept for a client that moves."""
    drain_s: float = 30.0
    """The deadline of a handler that the registry puts into maintenance."""
    affinity: float = 0.1
    """A client goes back to its handler while that has at most so much more load than the least."""

    @property
    def hold_s(self) -> float:
        return self.guaranteed_s + self.dead_after_s

    def times(self, *, moving: bool) -> tuple[float, float, float]:
        """How long a new seat is guaranteed and held, and its ticket is good."""
        if moving:
            return self.moving_s, self.moving_s + self.dead_after_s, max(self.ticket_s, self.moving_s)
        return self.guaranteed_s, self.hold_s, self.ticket_s
