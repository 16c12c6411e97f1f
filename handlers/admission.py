"""The handler's own gate: its capacity, and each ticket once.

Rules of this file: it is the last word on the capacity, whatever any store believes, and it works
alone when no gateway answers. `present` takes a place before anybody waits for anything, so twenty
copies of one ticket at the same moment are one admission and nineteen replays.
"""

from enum import Enum

from handlers.closing import Refusal, TurnedAway
from handlers.deadlines import Deadlines
from handlers.model import Jti
from handlers.ticket import LEEWAY_S, TicketClaims

GUARD_S = 2.0
"""So long before the end of its guarantee a ticket is treated as late: the store is asked, and a seat
that is still held says yes. It covers a report on its way for a second and clocks a second apart,
without which the store could give a seat away that this process has just filled."""

KEEP_S = LEEWAY_S + 28.0
"""A used ticket is remembered for so long after its end: the gateways' time, which is judged by here, may
step back when another gateway answers, and a ticket must not come to life again."""


class Entry(Enum):
    ADMITTED = "admitted"
    ASK = "ask"
    """A place is kept, and the store must say whether it may be taken."""


class AdmissionLedger:
    """`memory` bounds the used tickets that are remembered."""

    def __init__(self, capacity: int, memory: int | None = None) -> None:
        self.capacity = capacity
        self.draining = False
        """Clients come in only with a seat that is still guaranteed to them."""
        self.shut = False
        """Nobody comes in."""
        self._memory = memory or max(10_000, 16 * capacity)
        self._used: Deadlines[Jti] = Deadlines()
        self._admitted: set[Jti] = set()
        self._asking: set[Jti] = set()

    @property
    def connections(self) -> int:
        """Admitted and not gone: what is reported."""
        return len(self._admitted)

    def present(self, claims: TicketClaims, now: float) -> Entry | TurnedAway:
        """Judges a verified ticket, and uses it up unless it is turned away.

        Keyed on the `jti`: two spellings of one token are one ticket.
        """
        for _ in self._used.due(now):
            pass
        if claims.jti in self._used:
            return TurnedAway(Refusal.REPLAYED)
        late = claims.degraded or now >= claims.guaranteed_until - GUARD_S
        if self.shut or (self.draining and late):
            return TurnedAway(Refusal.DRAINING)
        if len(self._used) >= self._memory:
            return TurnedAway(Refusal.BUSY)
        if len(self._admitted) + len(self._asking) >= self.capacity:
            return TurnedAway(Refusal.FULL)
        self._used.set(claims.jti, claims.expires_at + KEEP_S)
        if late:
            self._asking.add(claims.jti)
            return Entry.ASK
        self._admitted.add(claims.jti)
        return Entry.ADMITTED

    def answered(self, jti: Jti, *, room: bool | None) -> TurnedAway | None:
        """The store's answer to an `ASK`; `None` when no gateway could be reached: the place counts."""
        self._asking.remove(jti)
        if room is False:
            return TurnedAway(Refusal.FULL)
        self._admitted.add(jti)
        return None

    def give_back(self, claims: TicketClaims) -> bool:
        """Uses a ticket up that was turned away, so that the store may be told that its seat is free.

        `False` when that can't be remembered: then the seat must stay held, or two could come for it. And
        when it is used up by now: somebody came in with a copy of it.
        """
        if claims.jti in self._used or len(self._used) >= self._memory:
            return False
        self._used.set(claims.jti, claims.expires_at + KEEP_S)
        return True

    def leave(self, jti: Jti) -> bool:
        """Gives the place back, asked or admitted. True if it was an admitted connection."""
        self._asking.discard(jti)
        admitted = jti in self._admitted
        self._admitted.discard(jti)
        return admitted

    def __repr__(self) -> str:
        state = ", shut" if self.shut else ", draining" if self.draining else ""
        return (
            f"<AdmissionLedger: {len(self._admitted)} of {self.capacity}, {len(self._asking)} asking,"
            f" {len(self._used)} used tickets{state}>"
        )
