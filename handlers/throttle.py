"""How many clients a handler takes in per second: a token bucket, filled slowly while its process is new.

The bucket is one time per handler, `ready_at`: from then on it has a token (the generic cell rate algorithm,
ITU-T I.371 annex A). Each client moves it on by the time in which one token comes, so whatever happens in a
window of w seconds, at most `joins_burst + joins_per_s * w` clients come (ALLOCATION 2.11, I10).
"""

from bisect import bisect_left, bisect_right, insort

from handlers.model import HandlerId, PoolSettings

SLOWEST = 0.1
"""Share of its rate that a process has from its first moment on."""
MEAN = 0.5
"""Share of its rate that a new process has on average while it comes up to it."""
SLACK = 0.01
"""Tokens, against rounding: sums of a bucket's times must not cost it its last token."""
NEVER = float("-inf")
"""A time that has passed whatever the clock says."""


def longest_wait_s(pool: PoolSettings) -> float:
    """For the next token of a handler, at most."""
    return 1 / (SLOWEST * pool.joins_per_s)


def burst_s(pool: PoolSettings) -> float:
    """How far back `ready_at` counts: the time in which all tokens but the last come."""
    return (pool.joins_burst - 1 + SLACK) / pool.joins_per_s


class Throttle:
    """Which handlers of a pool are new, and what they take in.

    While more than half of the pool is new nobody starts slowly: then there is nobody else to take the rest,
    as after the first start of all or of the store.
    """

    def __init__(self, pool: PoolSettings) -> None:
        self._pool = pool
        self._burst_s = burst_s(pool)
        self._token_s = 1 / pool.joins_per_s
        self._starts: list[float] = []
        self._start_of: dict[HandlerId, float] = {}

    def put(self, handler: HandlerId, up_at: float) -> None:
        """An open handler, whose process has started at `up_at`."""
        if self._start_of.get(handler) != up_at:
            self.remove(handler)
            insort(self._starts, up_at)
            self._start_of[handler] = up_at

    def remove(self, handler: HandlerId) -> None:
        """One that gets nobody; no error if it is not in."""
        if (up_at := self._start_of.pop(handler, None)) is not None:
            del self._starts[bisect_left(self._starts, up_at)]

    def after_one_more(self, ready_at: float, up_at: float, now: float) -> float:
        """`ready_at` of a handler that has just got a client."""
        if ready_at < (full := now - self._burst_s):
            ready_at = full
        if now - up_at >= self._pool.slow_start_s:
            return ready_at + self._token_s
        return ready_at + 1 / self.rate(up_at, now)

    def tokens(self, ready_at: float, up_at: float, now: float) -> float:
        """How many clients may come at once."""
        saved_s = now - max(ready_at, now - self._burst_s)
        return max(0.0, 1 + saved_s * self.rate(up_at, now))

    def rate(self, up_at: float, now: float) -> float:
        """Clients per second for a handler whose process has started at `up_at`."""
        pool = self._pool
        age_s = now - up_at
        if age_s >= pool.slow_start_s or self.new_share(now) == 0:
            return pool.joins_per_s
        return pool.joins_per_s * max(SLOWEST, age_s / pool.slow_start_s)

    def new_share(self, now: float) -> float:
        """The share of the handlers that start slowly, 0 while more than half are new."""
        new = len(self._starts) - bisect_right(self._starts, now - self._pool.slow_start_s)
        return 0.0 if 2 * new > len(self._starts) else new / max(1, len(self._starts))

    def fleet_rate(self, handlers: int, now: float) -> float:
        """Clients per second for so many handlers with room; the new ones among them count by their mean."""
        return handlers * self._pool.joins_per_s * (1 - MEAN * self.new_share(now))

    def __repr__(self) -> str:
        return f"<Throttle: {len(self._starts)} open>"
