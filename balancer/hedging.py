"""How long calls of a service usually take: for second tries that begin before the first has failed
("The Tail at Scale", Dean and Barroso, 2013), and for those that could not finish in time.

Rules of this file: only answers count, by the time to their head, and only the latest ones.
"""

from collections import deque
from math import inf

from balancer.model import OutboundRequest, RetryClass

WINDOW = 512
"""The latest answers that are known. By number and not by time: a service with few calls has a usual latency,
too, and memory is bounded either way."""
ENOUGH = 20
"""With fewer nothing is known."""
SORTED_FOR_S = 0.1
"""Quantiles are taken anew after so long: sorting costs as much as a call."""
EARLIEST_S = 0.001
"""A call that takes less is not worth a second one."""


class RecentLatencies:
    """Of one service. Owned by the balancer; `now` is monotonic seconds."""

    __slots__ = ("_latest", "_sorted", "_sorted_until", "add")

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=WINDOW)
        self.add = self._latest.append
        """An answer's head came after so many seconds. Every call says so: there is nothing in between."""
        self._sorted: list[float] = []
        self._sorted_until = -inf

    def median(self, now: float) -> float | None:
        return self._quantile(0.50, now)

    def about(self, now: float) -> float | None:
        """What an answer takes about, also by few of them; `None` before the first. For people to see."""
        usual = self.median(now)
        return self._sorted[len(self._sorted) // 2] if usual is None and self._sorted else usual

    def p95(self, now: float) -> float | None:
        """`None` while too few are known."""
        return self._quantile(0.95, now)

    def _quantile(self, share: float, now: float) -> float | None:
        if now >= self._sorted_until:
            self._sorted = sorted(self._latest)
            self._sorted_until = now + SORTED_FOR_S
        count = len(self._sorted)
        return None if count < ENOUGH else self._sorted[int(share * count)]

    def __len__(self) -> int:
        return len(self._latest)

    def __repr__(self) -> str:
        return f"<RecentLatencies: {len(self)}>"


def may_hedge(retry: RetryClass, request: OutboundRequest) -> bool:
    """Whether the request may be under way twice: it is safe to run it so, and it can be sent again."""
    return retry is RetryClass.SAFE and isinstance(request.body, bytes) and not request.switch


def hedge_after(recent: RecentLatencies, now: float) -> float | None:
    """Seconds after which a call is slow for its service; `None` while that is unknown."""
    usual = recent.p95(now)
    return None if usual is None else max(EARLIEST_S, usual)
