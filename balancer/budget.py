"""How many second tries there may be: so few that a service that fails is not failed on harder.

Rules of this file: of the tries that were under way within the last moment, second ones (retries and
hedges) are less than a share of the first ones, or a few when there is hardly any load. What is under way
counts for slow tries, what has just ended for those that fail at once: by what is under way alone, tries
that fail within a millisecond would be repeated a thousand times a second, three at a time. The few are
counted anew with each span, which is as long as a retry waits for room: so where calls are few, none of
them fails for want of a second try.

The share is Envoy's retry budget (20 %, at least 3: envoy.config.cluster.v3.CircuitBreakers.Thresholds),
the look back is Finagle's RetryBudget (20 % of the requests of its time to live).
"""

from balancer.policy import RetryBudget
from balancer.retry import LONGEST_WAIT_S

SPAN_S = LONGEST_WAIT_S
"""Time is counted in spans of so long."""
SPANS_OF_FIRST = 4
SPANS_OF_SECOND = 6
"""An ended try counts for so many of them, this one included. Longer for second tries: first tries that take
longer, as those that wait for a connection do, count longer, and would else allow more than the share."""


class RetryLedger:
    """The tries of one service. Owned by the balancer; `now` is monotonic seconds.

    A try is under way until its answer's head is there or it has failed.
    """

    __slots__ = ("_ended_first", "_ended_second", "_turn", "first", "policy", "second")

    def __init__(self, policy: RetryBudget) -> None:
        self.policy = policy
        self.first = 0
        """First tries under way."""
        self.second = 0
        """Second tries under way."""
        self._turn = 0.0
        self._ended_first = [0] * SPANS_OF_FIRST
        """In this span, and in those before."""
        self._ended_second = [0] * SPANS_OF_SECOND

    def first_ended(self, now: float) -> None:
        """One that was counted in `first` has an answer or has failed."""
        self.first -= 1
        if now >= self._turn:
            self._turn_to(now)
        self._ended_first[0] += 1

    def second_ended(self, now: float) -> None:
        """One that was counted in `second` has an answer, has failed or was given up."""
        self.second -= 1
        if now >= self._turn:
            self._turn_to(now)
        self._ended_second[0] += 1

    def has_room(self, now: float) -> bool:
        """Whether a second try may begin. Whoever begins it counts it in `second`."""
        if now >= self._turn:
            self._turn_to(now)
        if self.second + self._ended_second[0] < self.policy.at_least:
            return True
        first = self.first + sum(self._ended_first)
        second = self.second + sum(self._ended_second)
        return 100 * (second + 1) < self.policy.percent * first

    def _turn_to(self, now: float) -> None:
        """A new span begins, perhaps after some in which nothing ended."""
        turns = min(SPANS_OF_SECOND, 1 + int((now - self._turn) / SPAN_S))
        empty = [0] * turns
        self._ended_first = (empty + self._ended_first)[:SPANS_OF_FIRST]
        self._ended_second = (empty + self._ended_second)[:SPANS_OF_SECOND]
        self._turn = now + SPAN_S

    def __repr__(self) -> str:
        return f"<RetryLedger: {self.first} first tries, {self.second} second ones>"
