"""Appointments for clients who find every handler busy taking others in.

Each gets a time of its own, as far apart as the handlers' tokens come, and `wait_s` after the moment at which
that many tokens have come if they came evenly: one may sit at each handler that nobody has fetched yet, so
by the pigeonhole principle there is one for everybody who keeps the time (ALLOCATION 2.7).
"""

import heapq

from handlers.model import PoolSettings
from handlers.throttle import NEVER


class AppointmentBook:
    """Slots are seconds on the store's clock, good from `horizon_s` before their time to as long after."""

    def __init__(self, pool: PoolSettings) -> None:
        self._horizon_s = pool.horizon_s
        self._wait_s = 1 / pool.joins_per_s
        self._last = NEVER
        self._used: set[float] = set()
        self._by_age: list[float] = []

    def is_waited(self, now: float) -> bool:
        """Whether somebody's appointment is yet to come, so that nobody may overtake."""
        return self._last > now

    def appoint(self, now: float, rate: float) -> float | None:
        """The next slot of one's own when `rate` clients get in per second; `None` beyond the horizon."""
        slot = max(self._last, now + self._wait_s) + 1 / rate
        if slot > now + self._horizon_s:
            return None
        self._last = slot
        return slot

    def keeps(self, slot: float, now: float) -> bool:
        """Whether that slot is good, or will be. Who gave it out can't be seen here: a token says so."""
        return now - self._horizon_s < slot <= now + self._horizon_s and slot not in self._used

    def use(self, slot: float, now: float) -> None:
        """That slot has led to a seat, and leads to no other."""
        self._used.add(slot)
        heapq.heappush(self._by_age, slot)
        while self._by_age[0] <= now - self._horizon_s:
            self._used.discard(heapq.heappop(self._by_age))

    def __repr__(self) -> str:
        return f"<AppointmentBook: last slot {self._last:g}, {len(self._used)} used>"
