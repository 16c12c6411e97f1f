"""How long calls of a service usually take: for second tries that begin before the first has failed
("The Tail at Scale", Dean and Barroso, 2013), and for those that could not finish in time.

Rules of this file: only answers count, by the time to their head. What is older than two windows, or not
among the last so many, is forgotten; memory is bounded.
"""

from balancer.model import OutboundRequest, RetryClass

WINDOW_S = 10.0
MOST = 512
"""Latencies kept in one of the two windows."""
ENOUGH = 20
"""With fewer nothing is known."""
STALE_AFTER = 32
"""More latencies, after which the quantiles are taken anew: sorting costs as much as a call."""
EARLIEST_S = 0.001
"""A call that takes less is not worth a second one."""


class RecentLatencies:
    """Of one service. Owned by the balancer; `now` is monotonic seconds."""

    __slots__ = ("_before", "_known", "_latest", "_sorted", "_turn")

    def __init__(self) -> None:
        self._latest: list[float] = []
        self._before: list[float] = []
        self._turn = 0.0
        self._sorted: list[float] = []
        self._known = 0
        """Of the latest ones, those that are among the sorted."""

    def add(self, seconds: float, now: float) -> None:
        """An answer's head came after so long."""
        if now >= self._turn or len(self._latest) >= MOST:
            self._new_window(now)
        self._latest.append(seconds)

    def median(self, now: float) -> float | None:
        return self._quantile(0.50, now)

    def p95(self, now: float) -> float | None:
        """`None` while too few are known."""
        return self._quantile(0.95, now)

    def _quantile(self, share: float, now: float) -> float | None:
        if now >= self._turn:
            self._new_window(now)
        if not self._sorted or len(self._latest) - self._known >= STALE_AFTER:
            self._sorted = sorted(self._before + self._latest)
            self._known = len(self._latest)
        count = len(self._sorted)
        if count < ENOUGH:
            # Taken anew next time: the first ones are few, and sorted at once.
            self._sorted = []
            return None
        return self._sorted[min(count - 1, int(share * count))]

    def _new_window(self, now: float) -> None:
        self._before = self._latest if now < self._turn + WINDOW_S else []
        self._latest, self._sorted, self._known = [], [], 0
        self._turn = now + WINDOW_S

    def __len__(self) -> int:
        return len(self._latest) + len(self._before)

    def __repr__(self) -> str:
        return f"<RecentLatencies: {len(self)}>"


def may_hedge(retry: RetryClass, request: OutboundRequest) -> bool:
    """Whether the request may be under way twice: it is safe to run it so, and it can be sent again."""
    return retry is RetryClass.SAFE and isinstance(request.body, bytes) and not request.switch


def hedge_after(recent: RecentLatencies, now: float) -> float | None:
    """Seconds after which a call is slow for its service; `None` while that is unknown."""
    usual = recent.p95(now)
    return None if usual is None else max(EARLIEST_S, usual)
