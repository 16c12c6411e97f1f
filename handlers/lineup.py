"""The handlers of one pool, and who of them may get the next client.

A handler stands in one place: in the order (it may get one), among the parked (it has room, and takes in
nobody more for a moment), among the full, or nowhere. `place` puts it where its state belongs and is called
after each change of it, so that to choose is to take the first of the order.
"""

from collections.abc import Callable, Iterable, Iterator

from handlers.deadlines import Deadlines
from handlers.model import HandlerId, HandlerState, Known, PoolSettings, Uid
from handlers.placement import Order
from handlers.roster import NOWHERE, ORDER, PARKED, HandlerRecord, Place
from handlers.throttle import Throttle

DOUBTERS = 3
"""Users who exclude a handler, after which it is suspected."""
SUSPECT_AFTER = 1.25 / 3
"""Share of `dead_after_s` that a suspect may be silent: one report, and a little."""


class Lineup:
    """`held` says how many seats count against a handler's capacity, apart from its connections."""

    def __init__(self, pool: PoolSettings, held: Callable[[HandlerId], int]) -> None:
        self._pool = pool
        self._held = held
        self._handlers: dict[HandlerId, HandlerRecord] = {}
        self.order = Order()
        """Those who may get the next client."""
        self._full: set[HandlerId] = set()
        self._parked: Deadlines[HandlerId] = Deadlines()
        self._silence: Deadlines[HandlerId] = Deadlines()
        self._throttle = Throttle(pool)

    # --- who there is ----------------------------------------------------------------------------

    def get(self, name: HandlerId) -> HandlerRecord | None:
        return self._handlers.get(name)

    def __getitem__(self, name: HandlerId) -> HandlerRecord:
        return self._handlers[name]

    def __iter__(self) -> Iterator[HandlerRecord]:
        return iter(self._handlers.values())

    def __len__(self) -> int:
        return len(self._handlers)

    def add(self, handler: HandlerRecord) -> None:
        self._handlers[handler.id] = handler

    def remove(self, name: HandlerId) -> bool:
        """Forgets it; False if it is not known."""
        if self._handlers.pop(name, None) is None:
            return False
        self.order.remove(name)
        self._full.discard(name)
        self._parked.discard(name)
        self._silence.discard(name)
        self._throttle.remove(name)
        return True

    def sync(self, known: Iterable[Known], now: float) -> None:
        """The registry's whole view: whom it lists no more, it takes out."""
        listed = set()
        for entry in known:
            listed.add(entry.id)
            handler = self._handlers.get(entry.id)
            if handler is None:
                handler = HandlerRecord(entry.id, entry.url, entry.path, self._pool.capacity, entry.weight)
                self.add(handler)
            handler.list_as(entry, self._pool, now)
            self.place(handler, now)
        for handler in self:
            if handler.id not in listed:
                handler.delist()
                self.place(handler, now)

    # --- what happens to them --------------------------------------------------------------------

    def place(self, handler: HandlerRecord, now: float) -> None:
        """Puts a handler where its state belongs."""
        load = handler.connections + self._held(handler.id)
        if handler.closed() is not None:
            place = NOWHERE
        elif load >= handler.capacity:
            place = Place.FULL
        elif handler.ready_at > now:
            place = PARKED
        else:
            place = ORDER
            self.order.put(handler.id, load, handler.weight, handler.allocated)
        if place is not handler.place:
            self._move(handler, place)

    def _move(self, handler: HandlerRecord, place: Place) -> None:
        """From one place to another; into the order it was put already."""
        name, before, handler.place = handler.id, handler.place, place
        if before is ORDER:
            self.order.remove(name)
        self._parked.discard(name)
        self._full.discard(name)
        if place is PARKED:
            self._parked.set(name, handler.ready_at)
        elif place is Place.FULL:
            self._full.add(name)
        if place is NOWHERE:
            self._throttle.remove(name)
        elif before is NOWHERE:
            self._throttle.put(name, handler.up_at)

    def heard(self, handler: HandlerRecord, now: float) -> None:
        """It lives: nobody's doubts count any more."""
        handler.heard_at = now
        handler.silent = False
        handler.doubters = ()
        # One entry per handler is enough: when it comes due, `settle` looks at `heard_at` again.
        if handler.id not in self._silence:
            self._silence.set(handler.id, now + self._pool.dead_after_s)
        self.place(handler, now)
        if handler.place is not NOWHERE:
            self._throttle.put(handler.id, handler.up_at)

    def doubt(self, names: Iterable[HandlerId], uid: Uid, now: float) -> None:
        """A client could not reach those. When several users say so, one report's silence is enough."""
        for name in names:
            handler = self._handlers.get(name)
            if handler is None or handler.heard_at is None or uid in handler.doubters:
                continue
            if len(handler.doubters) < DOUBTERS:
                handler.doubters += (uid,)
                if len(handler.doubters) == DOUBTERS:
                    self._silence.set(name, self._dead_at(handler))
        self._end_silences(now)

    def settle(self, now: float) -> None:
        """Who has been silent for too long counts as dead; who has a token again gets its place."""
        self._end_silences(now)
        for name in self._parked.due(now):
            self.place(self._handlers[name], now)

    def _end_silences(self, now: float) -> None:
        for name in self._silence.due(now):
            handler = self._handlers[name]
            if now < (dead_at := self._dead_at(handler)):
                self._silence.set(name, dead_at)
            else:
                handler.silent = True
                self.place(handler, now)

    def _dead_at(self, handler: HandlerRecord) -> float:
        assert handler.heard_at is not None
        patience = SUSPECT_AFTER if len(handler.doubters) >= DOUBTERS else 1.0
        return handler.heard_at + patience * self._pool.dead_after_s

    # --- the next client -------------------------------------------------------------------------

    def take_in(self, handler: HandlerRecord, now: float) -> None:
        """It gets a client, which costs it a token. `place` is still to be called."""
        handler.ready_at = self._throttle.after_one_more(handler.ready_at, handler.up_at, now)

    def some_full(self, exclude: frozenset[HandlerId]) -> bool:
        """Whether one that is not excluded has no room, and no other reason to get nobody."""
        return any(name not in exclude for name in self._full)

    def some_parked(self, exclude: frozenset[HandlerId]) -> bool:
        """Whether one that is not excluded has room, and takes in nobody more for a moment."""
        return any(name not in exclude for name in self._parked)

    def ready_at(self) -> float | None:
        """When the first of the parked has a token; `None` if nobody is parked."""
        return self._parked.earliest()

    def joins_per_s(self, now: float) -> float:
        """Clients that all with room take in together, per second."""
        return self._throttle.fleet_rate(len(self.order) + len(self._parked), now)

    def load(self, handler: HandlerRecord) -> int:
        return handler.connections + self._held(handler.id)

    def seen(self, handler: HandlerRecord, now: float) -> HandlerState:
        """What operators and metrics get to see."""
        rate = self._throttle.rate(handler.up_at, now)
        return handler.seen(
            self._held(handler.id), now, self._throttle.tokens(handler.ready_at, handler.up_at, now), rate
        )

    def __repr__(self) -> str:
        return repr(self.order)
