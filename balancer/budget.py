"""How many second tries there may be: so few that a service that fails is not failed on harder.

Rules of this file: of the tries that were under way within the last moment, second ones (retries and
hedges) are less than a share of the first ones, or a few when there is hardly any load. What is under way
counts for slow tries, what has just ended for those that fail at once: by what is under way alone, tries
that fail within a millisecond would be repeated a thousand times a second, three at a time.

The share is Envoy's retry budget (20 %, at least 3: envoy.config.cluster.v3.CircuitBreakers.Thresholds),
the look back is Finagle's RetryBudget (20 % of the requests of its time to live).
"""

from balancer.policy import RetryBudget

MOMENT_S = 1.0
"""Ended tries count for so long, half of it at least."""


class RetryLedger:
    """The tries of one service. Owned by the balancer; `now` is monotonic seconds.

    A try is under way until its answer's head is there or it has failed.
    """

    __slots__ = ("_before", "_ended", "_turn", "first", "policy", "second")

    def __init__(self, policy: RetryBudget) -> None:
        self.policy = policy
        self.first = 0
        """First tries under way."""
        self.second = 0
        """Second tries under way."""
        self._turn = 0.0
        self._ended = [0, 0]
        """First and second tries of this half of a moment, and below of the half before."""
        self._before = [0, 0]

    def first_ended(self, now: float) -> None:
        """One that was counted in `first` has an answer or has failed."""
        self.first -= 1
        if now >= self._turn:
            self._new_half(now)
        self._ended[0] += 1

    def has_room(self, now: float) -> bool:
        """Whether a second try may begin. Whoever begins it counts it in `second`."""
        if now >= self._turn:
            self._new_half(now)
        first = self.first + self._ended[0] + self._before[0]
        second = self.second + self._ended[1] + self._before[1]
        return second < self.policy.at_least or 100 * (second + 1) < self.policy.percent * first

    def second_ended(self, now: float) -> None:
        """One that was counted in `second` has an answer, has failed or was given up."""
        self.second -= 1
        if now >= self._turn:
            self._new_half(now)
        self._ended[1] += 1

    def _new_half(self, now: float) -> None:
        half_s = MOMENT_S / 2
        self._before = self._ended if now < self._turn + half_s else [0, 0]
        self._ended = [0, 0]
        self._turn = now + half_s

    def __repr__(self) -> str:
        return f"<RetryLedger: {self.first} first tries, {self.second} second ones>"
