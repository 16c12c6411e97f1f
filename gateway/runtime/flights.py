"""Calls that several requests want the answer of: one is made, the others wait for it.

Who waits for a call that its caller gives up has lost nothing: another one makes it.
Where an answer turned out to be nobody else's, the next ones don't wait for each other for a while.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.cache_keys import CacheKey, Names
from gateway.caching import Stored

ALONE_S = 10.0
"""How long it is remembered that the answers to something can't be shared."""
MOST_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Landed:
    """An answer for all that waited and may have it."""

    stored: Stored
    variant: bytes
    """Whose it is, by all that it varies by."""
    names: Names

    def is_for(self, key: CacheKey) -> bool:
        return key.variant(self.names) == self.variant


@dataclass(frozen=True, slots=True)
class OnYourOwn:
    """There is none that could be shared."""


@dataclass(frozen=True, slots=True)
class Failed:
    """No instance gave an answer; its caller was content with an older one."""


@dataclass(frozen=True, slots=True)
class Deserted:
    """Whoever made the call has gone before it had an answer."""


End = Landed | OnYourOwn | Failed | Deserted


class Flight:
    """One call under way."""

    def __init__(self) -> None:
        self.waiting = 0
        """Requests that wait for it."""
        self._end: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    def end(self, how: End) -> None:
        """Tells all that wait. Only the first end counts."""
        if not self._end.done():
            self._end.set_result(how)

    async def wait(self, seconds: float) -> End:
        """How it ended; after so many seconds nobody waits any more."""
        self.waiting += 1
        try:
            done, _ = await asyncio.wait([self._end], timeout=seconds)
        finally:
            self.waiting -= 1
        return self._end.result() if done else OnYourOwn()


class Flights:
    """Those of one gateway. `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._flights: dict[bytes, dict[bytes, Flight]] = {}
        """By URI and variant."""
        self._alone: OrderedDict[bytes, float] = OrderedDict()

    def of(self, uri: bytes, variant: bytes) -> Flight | None:
        """The call under way, if there is one."""
        return self._flights.get(uri, {}).get(variant)

    @contextmanager
    def leading(self, uri: bytes, variant: bytes) -> Iterator[Flight]:
        """A call of one's own that others may wait for, until it is left, however that happens."""
        flight = Flight()
        self._flights.setdefault(uri, {})[variant] = flight
        try:
            yield flight
        finally:
            flight.end(Deserted())
            flights = self._flights.get(uri, {})
            if flights.get(variant) is flight:
                del flights[variant]
                if not flights:
                    del self._flights[uri]

    def forget(self, uri: bytes) -> None:
        """Who comes from now on does not wait for calls that began before: their answers may be outdated."""
        self._flights.pop(uri, None)

    def part(self, variant: bytes) -> None:
        """Its answers can't be shared."""
        self._alone[variant] = self._clock() + ALONE_S
        self._alone.move_to_end(variant)
        if len(self._alone) > MOST_REMEMBERED:
            self._alone.popitem(last=False)

    def are_parted(self, variant: bytes) -> bool:
        """Whether that was said a short while ago."""
        until = self._alone.get(variant)
        if until is None or self._clock() < until:
            return until is not None
        del self._alone[variant]
        return False

    @property
    def waiting(self) -> int:
        """Requests that wait for a call of another."""
        return sum(flight.waiting for flights in self._flights.values() for flight in flights.values())

    def __repr__(self) -> str:
        under_way = sum(map(len, self._flights.values()))
        return f"<Flights: {under_way} under way, {self.waiting} waiting, {len(self._alone)} alone>"
