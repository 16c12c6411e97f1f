"""All live seats, findable by ticket, by user and by handler.

`SeatBook.apply` is the only way a seat changes its state, so the indexes can't disagree with it:
a seat leaves the indexes of its old state and enters those of its new one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from handlers.deadlines import Deadlines
from handlers.model import Epoch, HandlerId, Jti, Seat, Uid
from handlers.seat_life import COUNTED, LATE, OVER, RESERVED, STANDBY, UNCONFIRMED, SeatEvent, SeatState, step

NOBODY = Uid("")
"""The user of a seat that this store has no record of (a late ticket after the store was lost)."""


@dataclass(slots=True)
class SeatRecord:
    """Mutable; changed only by its `SeatBook`."""

    jti: Jti
    uid: Uid
    handler: HandlerId
    epoch: Epoch
    guaranteed_until: float
    held_until: float
    ticket_until: float
    client_id: str | None = None
    sequence: int = 0
    moving: bool = False
    """Of a connection that moves here: counts against nobody's limit."""
    shared: bool = False
    """Given out twice, to repeats of one request: an abort of one of them must not take it from the other."""
    state: SeatState = RESERVED

    def seen(self, url: str, path: str, load: int, now: float) -> Seat:
        """What the client's request is answered with."""
        return Seat(
            self.jti,
            self.uid,
            self.handler,
            self.epoch,
            url,
            path,
            self.guaranteed_until,
            self.held_until,
            self.ticket_until,
            now,
            load,
            self.sequence,
        )


@dataclass(slots=True)
class UserSeats:
    """A user's seats, oldest first."""

    unconfirmed: dict[Jti, SeatRecord] = field(default_factory=dict)
    """All but those of `moving`: these are counted against the user's limit."""
    moving: dict[Jti, SeatRecord] = field(default_factory=dict)
    active: dict[Jti, SeatRecord] = field(default_factory=dict)


class SeatBook:
    def __init__(self) -> None:
        self._seats: dict[Jti, SeatRecord] = {}
        self._held: dict[HandlerId, set[Jti]] = {}
        self._at: dict[HandlerId, set[Jti]] = {}
        self._users: dict[Uid, UserSeats] = {}
        self.holds: Deadlines[Jti] = Deadlines()
        self.tickets: Deadlines[Jti] = Deadlines()
        self.counts = dict.fromkeys((*COUNTED.values(), LATE), 0)
        """What has become of seats, ever growing."""

    def get(self, jti: Jti) -> SeatRecord | None:
        return self._seats.get(jti)

    def held(self, handler: HandlerId) -> int:
        """How many seats count against that handler's capacity. A length, so it can't drift."""
        return len(self._held.get(handler, ()))

    @property
    def all_held(self) -> int:
        """The same over all handlers."""
        return len(self.holds)

    def user(self, uid: Uid) -> UserSeats | None:
        return self._users.get(uid)

    def at_limit(self, uid: Uid, most: int) -> bool:
        """Whether that user has so many unconfirmed seats already."""
        user = self._users.get(uid)
        return user is not None and len(user.unconfirmed) >= most

    def oldest_standby(self, uid: Uid) -> SeatRecord | None:
        """The seat of that user that a new one may take the place of.

        Never one that is held: a handler lets its ticket in without asking anybody, or has just been
        told that it may, so its place can't be promised to somebody else.
        """
        standby = [seat for seat in self._users[uid].unconfirmed.values() if seat.state is STANDBY]
        return min(standby, key=lambda seat: seat.sequence, default=None)

    def first_hold_end(self, uid: Uid) -> float:
        """When the first of that user's unconfirmed seats is held no more."""
        return min(seat.held_until for seat in self._users[uid].unconfirmed.values())

    def add(self, seat: SeatRecord) -> None:
        """A new, reserved seat."""
        self._seats[seat.jti] = seat
        self._at.setdefault(seat.handler, set()).add(seat.jti)
        self._enter(seat)
        self._enter_user(seat)

    def apply(self, seat: SeatRecord, event: SeatEvent) -> None:
        """Moves `seat` on. Raises `ImpossibleStep`, with nothing changed."""
        before, after = seat.state, step(seat.state, event)
        self._leave(seat)
        stays_unconfirmed = before in UNCONFIRMED and after in UNCONFIRMED
        if not stays_unconfirmed:
            self._leave_user(seat)
        seat.state = after
        if after is not before and event in COUNTED:
            self.counts[COUNTED[event]] += 1
        if after in OVER:
            del self._seats[seat.jti]
            _discard(self._at, seat.handler, seat.jti)
            return
        self._enter(seat)
        if not stays_unconfirmed:
            self._enter_user(seat)

    def lose(self, handler: HandlerId) -> int:
        """Every seat of that handler is lost; returns how many."""
        lost = [self._seats[jti] for jti in self._at.get(handler, ())]
        for seat in lost:
            self.apply(seat, SeatEvent.LOSE)
        return len(lost)

    def _enter(self, seat: SeatRecord) -> None:
        if seat.state is RESERVED:
            self._held.setdefault(seat.handler, set()).add(seat.jti)
            self.holds.set(seat.jti, seat.held_until)
        elif seat.state is STANDBY:
            self.tickets.set(seat.jti, seat.ticket_until)

    def _leave(self, seat: SeatRecord) -> None:
        if seat.state is RESERVED:
            _discard(self._held, seat.handler, seat.jti)
            self.holds.discard(seat.jti)
        elif seat.state is STANDBY:
            self.tickets.discard(seat.jti)

    def _enter_user(self, seat: SeatRecord) -> None:
        if seat.uid == NOBODY:
            return
        user = self._users.get(seat.uid)
        if user is None:
            user = self._users[seat.uid] = UserSeats()
        if seat.state not in UNCONFIRMED:
            user.active[seat.jti] = seat
        else:
            (user.moving if seat.moving else user.unconfirmed)[seat.jti] = seat

    def _leave_user(self, seat: SeatRecord) -> None:
        if (user := self._users.get(seat.uid)) is not None:
            user.unconfirmed.pop(seat.jti, None)
            user.moving.pop(seat.jti, None)
            user.active.pop(seat.jti, None)
            if not user.unconfirmed and not user.moving and not user.active:
                del self._users[seat.uid]

    def __iter__(self) -> Iterator[SeatRecord]:
        return iter(self._seats.values())

    def __len__(self) -> int:
        return len(self._seats)

    def __repr__(self) -> str:
        held = sum(map(len, self._held.values()))
        return f"<SeatBook: {len(self._seats)} seats, {held} held, {len(self._users)} users>"


def _discard(index: dict[HandlerId, set[Jti]], handler: HandlerId, jti: Jti) -> None:
    """Takes `jti` out of its set, and an empty set out of the index."""
    if (jtis := index.get(handler)) is not None:
        jtis.discard(jti)
        if not jtis:
            del index[handler]
