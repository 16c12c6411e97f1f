"""One handler as the ledger keeps it, and whether it may get a client.

Three opinions live in three fields and never overwrite each other: what the operator wants (`drain_by`),
what the process says (`leaving`, `heard_at`, its counts) and what the registry says (`listing`). With
one field for all, a heartbeat would bring a drained handler back.
"""

from dataclasses import dataclass
from enum import StrEnum

from handlers.model import Admin, DrainOrder, Epoch, HandlerId, HandlerState, Hello, Known, PoolSettings, Uid
from handlers.throttle import NEVER

FORGET_AFTER_S = 60.0
"""A handler that is in no registry and silent for so long is forgotten, so that ids can't pile up."""


class Listing(StrEnum):
    """What the registry says of a handler."""

    NEVER = "never"
    """Not listed so far: its own hello is proof enough (it may be faster than the registry)."""
    PASSING = "passing"
    FAILING = "failing"
    MAINTENANCE = "maintenance"
    DELISTED = "delisted"
    """Was listed and is no more: it has deregistered, which is how a process says goodbye."""


class Closed(StrEnum):
    """Why a handler gets nobody, apart from being full. `HandlerState.why_not` shows it."""

    DRAINING = "draining"
    LEAVING = "leaving"
    MAINTENANCE = "maintenance"
    DELISTED = "delisted"
    NOT_PASSING = "not_passing"
    NO_HELLO = "no_hello"
    SILENT = "silent"


FULL = "full"


class Place(StrEnum):
    """Where a handler stands among those of its pool."""

    ORDER = "order"
    """It may get the next client."""
    PARKED = "parked"
    """It has room, and takes in nobody more for a moment."""
    FULL = "full"
    NOWHERE = "nowhere"


# A member that is looked up in its enum costs as much as a call, and a place is asked for with every seat.
ORDER, PARKED, NOWHERE = Place.ORDER, Place.PARKED, Place.NOWHERE

_BY_LISTING = {
    Listing.FAILING: Closed.NOT_PASSING,
    Listing.MAINTENANCE: Closed.MAINTENANCE,
    Listing.DELISTED: Closed.DELISTED,
}


@dataclass(slots=True)
class HandlerRecord:
    """Mutable; owned by one ledger. `epoch` 0 means: never introduced itself."""

    id: HandlerId
    url: str
    path: str
    capacity: int
    weight: int
    epoch: Epoch = 0
    seq: int = 0
    connections: int = 0
    """As last reported; 0 for a handler that does not report."""
    heard_at: float | None = None
    silent: bool = False
    """A handler that has introduced itself has not reported for `dead_after_s`."""
    leaving: bool = False
    drain_by: float | None = None
    """The deadline of the operator's order, while there is one."""
    drain_rate: float | None = None
    listing: Listing = Listing.NEVER
    maintained_by: float | None = None
    """The deadline of the registry's, counted from when its maintenance was first seen."""
    speaks: bool = False
    doubters: tuple[Uid, ...] = ()
    """Users who could not reach it since its last report."""
    allocated: int = 0
    """Number of the pool's last allocation here."""
    up_at: float = NEVER
    """When its process was first seen, if it was seen to start."""
    ready_at: float = NEVER
    """From then on it may get the next client (handlers/throttle.py)."""
    place: Place = NOWHERE

    def closed(self) -> Closed | None:
        """Why it gets no clients however empty it is, `None` when it may get some."""
        if self.drain_by is not None:
            return Closed.DRAINING
        if self.leaving:
            return Closed.LEAVING
        if (closed := _BY_LISTING.get(self.listing)) is not None:
            return closed
        if self.epoch == 0 and self.speaks:
            return Closed.NO_HELLO
        return Closed.SILENT if self.silent else None

    def describe(self, hello: Hello) -> None:
        """Takes over what the process says of itself."""
        self.url, self.path = hello.url, hello.path
        self.capacity, self.weight = hello.capacity, hello.weight

    def begin(self, hello: Hello, now: float) -> None:
        """A new incarnation: its counts start anew, and a drain of the one before is over.

        The first hello of all is no restart that anybody saw, so it leaves a drain alone.
        """
        if self.epoch:
            self.drain(None, 0.0)
        if self.listing is Listing.DELISTED:
            self.listing = Listing.NEVER
        self.epoch, self.seq = hello.epoch, 0
        self.connections = hello.connections
        self.leaving = False
        # Who has clients already has not just started: it is the store that knows nothing yet.
        self.up_at = NEVER if hello.connections else now
        self.ready_at = NEVER

    def drain(self, order: DrainOrder | None, now: float) -> None:
        """What the operator wants of this incarnation: `None` is that it stays, or is back."""
        self.drain_by = None if order is None else now + order.remaining_s
        self.drain_rate = None if order is None else order.rate

    def order(self, now: float) -> DrainOrder | None:
        """What is wanted of it while it is to lose its clients. The operator's word goes first."""
        if self.drain_by is not None:
            return DrainOrder(max(self.drain_by - now, 0.0), self.drain_rate)
        if self.maintained_by is not None:
            return DrainOrder(max(self.maintained_by - now, 0.0))
        return None

    def list_as(self, known: Known, pool: PoolSettings, now: float) -> None:
        """Takes over what the registry says. The process's own hello is fresher than its copy there."""
        if known.draining:
            self.listing = Listing.MAINTENANCE
            if self.maintained_by is None:
                self.maintained_by = now + pool.drain_s
        else:
            self.listing = Listing.PASSING if known.healthy else Listing.FAILING
            self.maintained_by = None
        self.speaks = known.speaks
        if self.epoch == 0:
            self.url, self.path, self.weight = known.url, known.path, known.weight
            self.capacity = known.capacity or pool.capacity

    def delist(self) -> None:
        """The registry knew it and does no more."""
        if self.listing is not Listing.NEVER:
            self.listing, self.maintained_by = Listing.DELISTED, None

    def forgettable(self, now: float) -> bool:
        """Whether neither the registry nor the process speaks for it any more."""
        if self.listing not in (Listing.NEVER, Listing.DELISTED):
            return False
        return self.heard_at is None or now - self.heard_at >= FORGET_AFTER_S

    def seen(self, held: int, now: float, tokens: float = 0.0, joins_per_s: float = 0.0) -> HandlerState:
        """What operators and metrics get to see."""
        closed = self.closed()
        full = self.connections + held >= self.capacity
        return HandlerState(
            id=self.id,
            url=self.url,
            epoch=self.epoch,
            capacity=self.capacity,
            connections=self.connections,
            held=held,
            admin=Admin.UP if self.drain_by is None else Admin.DRAINING,
            eligible=closed is None and not full,
            why_not=closed.value if closed is not None else FULL if full else "",
            last_report_age_s=None if self.heard_at is None else now - self.heard_at,
            path=self.path,
            weight=self.weight,
            drain=self.order(now),
            tokens=tokens,
            joins_per_s=joins_per_s,
        )
