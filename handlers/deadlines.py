"""Keys with a time each, that come out when their time has come.

A heap with lazy deletion: a change pushes a new entry and leaves the old one behind. Left-behind
entries are thrown out by a rebuild once they outnumber the live ones, so memory stays proportional
to the live keys and every operation is O(log n), amortised.
"""

import heapq
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=str)

SPARE = 64
"""A small heap is not worth a rebuild."""


class Deadlines(Generic[K]):
    def __init__(self) -> None:
        self._at: dict[K, float] = {}
        self._heap: list[tuple[float, K]] = []

    def set(self, key: K, at: float) -> None:
        """Gives `key` the time `at`, instead of the one it had."""
        self._at[key] = at
        heapq.heappush(self._heap, (at, key))
        if len(self._heap) > 2 * len(self._at) + SPARE:
            self._heap = [(when, live) for live, when in self._at.items()]
            heapq.heapify(self._heap)

    def discard(self, key: K) -> None:
        """Forgets `key`; no error if it is not there."""
        self._at.pop(key, None)

    def due(self, now: float) -> Sequence[K]:
        """Takes out every key whose time is `now` or before, earliest first."""
        heap, times = self._heap, self._at
        if not heap or heap[0][0] > now:
            return ()
        found = []
        while heap and heap[0][0] <= now:
            at, key = heapq.heappop(heap)
            if times.get(key) == at:
                del times[key]
                found.append(key)
        return found

    def earliest(self) -> float | None:
        """The next time, `None` when there is no key."""
        while self._heap:
            at, key = self._heap[0]
            if self._at.get(key) == at:
                return at
            heapq.heappop(self._heap)
        return None

    def __iter__(self) -> Iterator[K]:
        return iter(self._at)

    def __contains__(self, key: object) -> bool:
        return key in self._at

    def __len__(self) -> int:
        return len(self._at)

    def __repr__(self) -> str:
        return f"<Deadlines: {len(self._at)} live, {len(self._heap) - len(self._at)} left behind>"
