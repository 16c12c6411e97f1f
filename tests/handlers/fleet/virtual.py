"""Virtual time: what is due next happens next, and nothing waits."""

import heapq
from collections.abc import Callable
from itertools import count

Action = Callable[[], None]


class VirtualTime:
    """Actions at their times; those of one time in the order in which they were planned."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self._planned: list[tuple[float, int, Action]] = []
        self._order = count()

    def at(self, when: float, action: Action) -> None:
        heapq.heappush(self._planned, (max(when, self.now), next(self._order), action))

    def after(self, delay_s: float, action: Action) -> None:
        self.at(self.now + delay_s, action)

    def run(self, until: float) -> None:
        """Everything that is due by `until`."""
        while self._planned and self._planned[0][0] <= until:
            self.now, _, action = heapq.heappop(self._planned)
            action()
        self.now = until
