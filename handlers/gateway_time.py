"""What time it is at the gateways, by whose clock tickets are written.

Rules of this file: a handler's own time of day is never trusted, only how fast its monotonic clock runs; so
neither a wrong clock nor one that is set while the process runs makes a good ticket too early or too late.
Cristian's algorithm (Probabilistic clock synchronization, 1989): the answer was written between question
and arrival, so half the round trip bounds the error, and the quickest answer is the best.
"""

import math

DRIFT = 0.001
"""Seconds per second by which an estimate may get worse: clocks differ by a tenth of that, and so an old
estimate gives way to a somewhat slower answer."""


class GatewayTime:
    """Instants are seconds on the caller's monotonic clock, except for the unix time that it tells."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._error = math.inf
        self._told_at = 0.0

    def told(self, unix: float, asked_at: float, heard_at: float) -> None:
        """A gateway answered that it was `unix`."""
        offset, error = unix - (asked_at + heard_at) / 2, (heard_at - asked_at) / 2
        known = self._error + DRIFT * (heard_at - self._told_at)
        # Both can't be true when they are further apart than both may be wrong: the clock was set.
        if error <= known or abs(offset - self._offset) > error + known:
            self._offset, self._error, self._told_at = offset, error, heard_at

    def unix(self, now: float) -> float | None:
        """Unix seconds at the gateways, `None` while none has told."""
        return None if self._error == math.inf else now + self._offset

    def __repr__(self) -> str:
        return f"<GatewayTime: offset {self._offset:.3f} s, good to {self._error:.3f} s>"
