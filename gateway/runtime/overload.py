"""The door that requests come in by: so many at each turn of the loop, the others in order, none too late.

Without it, a turn takes as long as there are connections that have something to say, and everything waits for
the turn's end: answers of instances, the registry, and whoever asks whether the process is alive.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

from gateway.overload import has_room
from gateway.settings import ListenSettings

log = structlog.get_logger()

AT_EACH_TURN = 8
"""Requests that begin at one turn of the loop: 1 or 2 ms of work. With 32 and three times too many requests,
what waits for turns, a health check among it, took four times as long, and no more were answered."""
FIRST_PACE = 1000.0
"""Requests a second, until it is known how many it really are."""
SAY_EVERY_S = 10.0
"""Between two lines of the log about requests that were refused."""

T = TypeVar("T")


class Door(Generic[T]):
    """Each request is let in by its future: at once, after those before it, or never (then it is refused)."""

    def __init__(
        self,
        listen: ListenSettings,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pace = FIRST_PACE
        self.follow(listen)
        self.in_flight = 0
        """Requests that were let in and are not answered yet. Whoever is let in counts itself."""
        self.refused = 0
        """Ever."""
        self._loop = loop
        self._clock = clock
        self._waiting: deque[tuple[asyncio.Future[T], T]] = deque()
        self._begun = 0
        self._turn_counted = False
        self._empty_at = self._paced_at = clock()
        self._left = 0
        """Requests that have left the queue since `_paced_at`."""
        self._said_at = -SAY_EVERY_S
        self._said = 0

    def __len__(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    def follow(self, listen: ListenSettings) -> None:
        """Takes new settings."""
        # Asked for with every request, and an attribute of settings costs as much as a call.
        self._max_in_flight = listen.max_in_flight
        self._max_queue_s = listen.max_queue_s
        self._bearable = self._pace * self._max_queue_s

    def has_room(self) -> bool:
        """Whether a request that comes now is let in, now or in time."""
        # Who was let in at this turn has not counted itself yet.
        in_flight, waiting = self.in_flight + self._begun, len(self._waiting)
        if in_flight + waiting < self._max_in_flight and waiting <= self._bearable:
            return True
        return has_room(
            in_flight=in_flight,
            max_in_flight=self._max_in_flight,
            waiting=waiting,
            pace=self._pace,
            empty_at=self._empty_at,
            max_queue_s=self._max_queue_s,
            now=self._clock(),
        )

    def turned_away(self) -> None:
        """Counts a request that there was no room for."""
        self.refused += 1
        now = self._clock()
        if now - self._said_at >= SAY_EVERY_S:
            self._say(now)

    def let_in(self, coming: "asyncio.Future[T]", request: T) -> None:
        """Gives `request` to whoever waits for `coming`, now or when its turn has come."""
        if not self._turn_counted:
            self._turn_counted = True
            self._loop.call_soon(self._turn)
        if self._waiting or self._begun >= AT_EACH_TURN:
            if not self._waiting:
                self._empty_at = self._paced_at = self._clock()
                self._left = 0
            self._waiting.append((coming, request))
            return
        self._begun += 1
        coming.set_result(request)

    def _turn(self) -> None:
        """A new turn of the loop: as many again."""
        waiting, left = self._waiting, 0
        while waiting and left < AT_EACH_TURN:
            coming, request = waiting.popleft()
            # The client of one that is cancelled has gone.
            if not coming.done():
                left += 1
                coming.set_result(request)
        if left:
            self._measure(left)
        self._begun = left
        self._turn_counted = bool(waiting or left)
        if self._turn_counted:
            self._loop.call_soon(self._turn)

    def _measure(self, left: int) -> None:
        self._left += left
        now = self._clock()
        elapsed_s = now - self._paced_at
        if elapsed_s >= self._max_queue_s:
            self._pace = self._left / elapsed_s
            self._bearable = self._pace * self._max_queue_s
            self._paced_at, self._left = now, 0

    def _say(self, now: float) -> None:
        log.warning(
            "overloaded",
            refused=self.refused - self._said,
            in_flight=self.in_flight,
            waiting=len(self._waiting),
        )
        self._said, self._said_at = self.refused, now
