"""How many calls at a time a service takes well, found out from its latency.

`gradient2` of Netflix's concurrency-limits (Gradient2Limit.java and WindowedLimit.java, 2018), with its
figures: once a second the mean latency of that second is compared with a long-term mean. While they agree,
the limit grows by a few; when calls begin to take longer, they queue somewhere, and the limit shrinks with
the ratio of the two. A mean and not a minimum: what calls cost differs too much for a minimum to be fair.
"""

LEAST = 20
"""As in the original: below that, what is measured is chance."""
MOST = 200
"""When the settings say nothing."""
GROWTH = 4
"""So many more than now, at a time: also the queue that is let be."""
SMOOTHING = 0.2
LONG_WINDOWS = 600
"""The long-term mean forgets over so many windows."""
WARM_UP = 10
"""So many first windows are averaged evenly."""
WINDOW_S = 1.0
MIN_SAMPLES = 10
"""A window with fewer says nothing."""
TOO_LONG = 2.0
RECOVERY = 0.9
"""A long-term mean that is so many times that of now is from a bad time: it shrinks by that each window."""


class GradientLimit:
    """The limit of one service. Owned by the balancer; `now` is monotonic seconds."""

    def __init__(self, most: int | None = None) -> None:
        self._limit = float(LEAST)
        self.allow(most)
        self._long_s = 0.0
        self._windows = 0
        self._ends_at: float | None = None
        self._total_s = 0.0
        self._samples = 0
        self._peak = 0

    @property
    def limit(self) -> int:
        return int(self._limit)

    def allow(self, most: int | None) -> None:
        """The most that it may be, from now on. What it has learned stays within that."""
        self._most = MOST if most is None else most
        self._limit = min(self._limit, self._most)

    def sample(self, seconds: float, in_flight: int, now: float) -> bool:
        """A call took so long while so many were under way. Says whether the limit may have changed."""
        self._total_s += seconds
        self._samples += 1
        self._peak = max(self._peak, in_flight)
        if self._ends_at is None:
            self._ends_at = now + WINDOW_S
        if now < self._ends_at:
            return False
        enough = self._samples >= MIN_SAMPLES
        if enough:
            self._update(self._total_s / self._samples)
        self._ends_at = now + WINDOW_S
        self._total_s, self._samples, self._peak = 0.0, 0, 0
        return enough

    def _update(self, short_s: float) -> None:
        long_s = self._long_term(short_s)
        if short_s <= 0 or self._peak < self._limit / 2:
            # It was not the limit that kept the number of calls small.
            return
        gradient = max(0.5, min(1.0, long_s / short_s))
        wanted = self._limit * gradient + GROWTH
        smoothed = self._limit * (1 - SMOOTHING) + wanted * SMOOTHING
        self._limit = max(min(LEAST, self._most), min(self._most, smoothed))

    def _long_term(self, short_s: float) -> float:
        """The long-term mean with this window in it, as it is before it is hurried along."""
        self._windows += 1
        share = 1 / self._windows if self._windows <= WARM_UP else 2 / (LONG_WINDOWS + 1)
        long_s = self._long_s + (short_s - self._long_s) * share
        self._long_s = long_s * RECOVERY if long_s > TOO_LONG * short_s else long_s
        return long_s

    def __repr__(self) -> str:
        return f"<GradientLimit: {self.limit}>"
