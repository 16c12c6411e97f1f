"""One handler as one gateway sees it by itself: the store's last word on it, and what was heard since.

Like `roster.py`, opinions stand in fields of their own. The registry's, which this gateway hears
itself, goes before what the store last said of it; a report goes before an older count of the store.
"""

from dataclasses import dataclass, field

from handlers.model import Admin, Epoch, HandlerId, HandlerState, Hello, Jti, Known, Report, Seat
from handlers.roster import Closed, Listing

SLACK_S = 0.25
"""News of one report, heard here and read in the store, may differ by so much in age."""

_OUT = frozenset({Closed.MAINTENANCE.value, Closed.NOT_PASSING.value, Closed.DELISTED.value})
_BY_LISTING = {
    Listing.FAILING: Closed.NOT_PASSING,
    Listing.MAINTENANCE: Closed.MAINTENANCE,
    Listing.DELISTED: Closed.DELISTED,
}
_UNWANTED = frozenset({Closed.DRAINING.value, Closed.LEAVING.value})


@dataclass(slots=True)
class Standing:
    """Mutable; owned by one `LocalLedger`. Instants are those of this gateway's clock."""

    id: HandlerId
    url: str
    path: str
    capacity: int
    weight: int
    joins_per_s: float
    epoch: Epoch = 0
    seq: int = 0
    """Of the last report heard here; the store tells none."""
    connections: int = 0
    promised: int = 0
    """Seats that the store held when it was last seen."""
    held: int = 0
    """Those of them that nobody has reported as used since."""
    own_used: int = 0
    """Our own seats that were reported as used since."""
    held_until: float = 0.0
    """By then every one of `held` has run out."""
    closed: bool = False
    """An operator, or the process itself, wants no new clients there."""
    silent: bool = False
    """It was so for the store, and has said nothing here since."""
    out: bool = False
    """For the store, the registry did not list it as passing."""
    listing: Listing = Listing.NEVER
    """The registry's opinion, as this gateway hears it."""
    speaks: bool = False
    heard_at: float | None = None
    """Its last word to this gateway; `None` while it speaks to others only, so that its silence here
    means nothing."""
    tokens: float = 0.0
    tokens_at: float = 0.0
    own: dict[Jti, Seat] = field(default_factory=dict)
    """Seats given out here without the store, oldest first."""

    def is_open(self, now: float, patience_s: float) -> bool:
        """Whether it may get clients, as far as is known here. Its room is another question."""
        if self.closed or self.silent or (self.epoch == 0 and self.speaks):
            return False
        if self.out if self.listing is Listing.NEVER else self.listing is not Listing.PASSING:
            return False
        return self.heard_at is None or now - self.heard_at < patience_s

    def seen(self, now: float, patience_s: float, gateways: int) -> HandlerState:
        """It as operators see it while the store can't be asked; only that knows a drain's order."""
        load, is_open = self.load(now, gateways), self.is_open(now, patience_s)
        full = "full" if load >= self.capacity else ""
        return HandlerState(
            id=self.id,
            url=self.url,
            epoch=self.epoch,
            capacity=self.capacity,
            connections=self.connections,
            held=load - self.connections,
            admin=Admin.DRAINING if self.closed else Admin.UP,
            eligible=is_open and not full,
            why_not=full if is_open else self._why_closed(),
            last_report_age_s=None if self.heard_at is None else now - self.heard_at,
            path=self.path,
            weight=self.weight,
            tokens=self.tokens,
            joins_per_s=self.joins_per_s,
        )

    def _why_closed(self) -> str:
        """Of one that is not open."""
        if self.closed:
            return Closed.DRAINING.value
        if self.listing in _BY_LISTING:
            return _BY_LISTING[self.listing].value
        if self.out and self.listing is Listing.NEVER:
            return Closed.NOT_PASSING.value
        return (Closed.NO_HELLO if self.epoch == 0 and self.speaks else Closed.SILENT).value

    def load(self, now: float, gateways: int) -> int:
        """The others give out seats like this gateway, and tell nobody either."""
        held = self.held if now < self.held_until else 0
        return self.connections + held + len(self.own) * gateways

    def refill(self, now: float, burst: float, gateways: int) -> float:
        """The tokens that are there now. Each gateway gives out its share of `burst` and of the rate."""
        come = max(0.0, now - self.tokens_at) * self.joins_per_s / gateways
        self.tokens = min(max(1.0, burst / gateways), self.tokens + come)
        self.tokens_at = now
        return self.tokens

    def take_hello(self, hello: Hello, now: float) -> list[Jti]:
        """Takes over what the process says of itself; returns which seats given out here are lost."""
        lost = self._begin(hello.epoch)
        self.url, self.path = hello.url, hello.path
        self.capacity, self.weight = hello.capacity, hello.weight
        self.connections = max(self.connections, hello.connections)
        self.silent, self.heard_at = False, now
        return lost

    def take_report(self, report: Report, now: float) -> list[Jti]:
        """Takes its counts over; returns which seats given out here are settled by it.

        A report repeats what no store has taken yet, so what it confirms beside our own is, all
        together, what has become of the seats held when the store was last seen.
        """
        self.seq, self.connections = report.seq, report.connections
        self.closed = self.closed or report.leaving
        self.silent, self.heard_at = False, now
        own = self.own
        used = [jti for jti in report.confirmed if jti in own]
        self.own_used += len(used)
        self.held = max(0, self.promised - max(0, len(report.confirmed) - self.own_used))
        return used + [jti for jti in report.closed if jti in own] + self._run_out(now)

    def promise(self, held: int) -> None:
        """So many seats are held there in the store, as of now."""
        self.promised = self.held = max(0, held)
        self.own_used = 0

    def take_state(self, state: HandlerState, now: float, hold_s: float) -> list[Jti]:
        """Takes over what the store says, unless more was heard here; returns as `take_report`."""
        if state.epoch < self.epoch:
            return []
        done = self._begin(state.epoch)
        self.url, self.path = state.url, state.path
        self.capacity, self.weight = state.capacity, state.weight
        self.joins_per_s = state.joins_per_s or self.joins_per_s
        self.promise(state.held)
        self.held_until = now + hold_s
        self.out = state.why_not in _OUT
        self.closed = state.admin is Admin.DRAINING or state.why_not in _UNWANTED
        told_at = None if state.last_report_age_s is None else now - state.last_report_age_s
        if self.heard_at is not None and (told_at is None or told_at < self.heard_at - SLACK_S):
            return done
        self.connections = state.connections
        self.silent = state.why_not == Closed.SILENT.value
        if self.heard_at is not None and told_at is not None and told_at > self.heard_at + SLACK_S:
            self.heard_at = None
        return done + self._run_out(now if told_at is None else told_at)

    def list_as(self, known: Known, capacity: int) -> None:
        """Takes over what the registry says; of what the process has said itself, nothing."""
        if known.draining:
            self.listing = Listing.MAINTENANCE
        else:
            self.listing = Listing.PASSING if known.healthy else Listing.FAILING
        self.speaks = known.speaks
        if self.epoch == 0:
            self.url, self.path, self.weight = known.url, known.path, known.weight
            self.capacity = known.capacity or capacity

    def _begin(self, epoch: Epoch) -> list[Jti]:
        """A later incarnation: nothing that was said of the one before holds.

        The first one of all is no restart that anybody saw, so it leaves what is wanted of it alone.
        """
        if epoch <= self.epoch:
            return []
        self.closed = self.closed and self.epoch == 0
        self.epoch, self.seq = epoch, 0
        self.connections = 0
        self.promise(0)
        self.silent = self.out = False
        if self.listing is Listing.DELISTED:
            self.listing = Listing.NEVER
        return list(self.own)

    def _run_out(self, counted_at: float) -> list[Jti]:
        """Our seats whose hold was over when it counted its clients: used or not, the count has them."""
        return [jti for jti, seat in self.own.items() if seat.held_until <= counted_at]
