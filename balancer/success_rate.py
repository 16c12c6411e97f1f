"""The success rate of each instance against that of all the others together, over a sliding window.

Against the others and not against a fixed figure: when what all of them depend on is down, nobody stands out
and nobody is put aside (Envoy's success rate detection compares with the mean for the same reason).
"""

from math import inf

from balancer.record import Record, Tally


class SuccessRates:
    """Of one service: what its instances' tallies are counted into, and the sum of them."""

    __slots__ = ("_all", "_half", "_half_ends", "window_s")

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        """May be replaced at any time; from the next half on the other length holds."""
        self._all = Tally()
        self._half = 0
        self._half_ends = -inf

    def count(self, record: Record, bad: int, now: float) -> None:
        """One try there has ended; `bad` is 1 or 0."""
        if now >= self._half_ends:
            self._next_half(now)
        if record.half != self._half:
            record.turn(self._half)
        every = self._all
        record.all += 1
        every.all += 1
        if bad:
            record.bad += bad
            every.bad += bad

    def far_below_the_rest(self, record: Record, ratio: float, min_requests: int) -> bool:
        """Whether its rate is below `ratio` times that of the others, as of the last `count`."""
        own, own_bad = record.sums(self._half)
        every, every_bad = self._all.sums(self._half)
        others, others_bad = every - own, every_bad - own_bad
        if min(own, others) < min_requests:
            return False
        return 1 - own_bad / own < ratio * (1 - others_bad / others)

    def forget(self, record: Record) -> None:
        """It was put aside for that: neither it nor the rest is judged by it again."""
        record.move_out(self._all, self._half)

    def _next_half(self, now: float) -> None:
        half_s = self.window_s / 2
        self._half = int(now / half_s)
        self._half_ends = (self._half + 1) * half_s
        self._all.turn(self._half)
