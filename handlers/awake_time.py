"""Time in which this process ran, for whoever counts how long others have been silent.

Rules of this file: a process that stood still (stopped, swapped out, a machine that is frozen) has heard
nobody meanwhile, so nobody was silent towards it. It is noticed by this: the time is asked for at least every
`ASKED_S`, by a task of its own. Time is an argument.
"""

from collections.abc import Callable

ASKED_S = 1.0
STOOD_STILL_S = 1.5 * ASKED_S
"""From one question to the next, after which nobody was there to ask in between. Reports come as often as
these questions, so who is not noticed to have stood still has missed one of them at most."""


class AwakeTime:
    """Never runs backwards while `now` does not, and is as fast, but for the gaps that it leaves out."""

    def __init__(self) -> None:
        self._asked_at: float | None = None
        self._left_out_s = 0.0

    def at(self, now: float) -> float:
        """Seconds, of which only differences mean something."""
        gap_s = 0.0 if self._asked_at is None else now - self._asked_at
        if gap_s >= STOOD_STILL_S:
            self._left_out_s += gap_s
        self._asked_at = now
        return now - self._left_out_s

    def __repr__(self) -> str:
        return f"<AwakeTime: {self._left_out_s:.3f} s left out>"


def awake_clock(monotonic: Callable[[], float]) -> Callable[[], float]:
    """That clock, less the time in which this process stood still. A `Sweeper` must be running: by its calls
    the clock is asked often enough."""
    awake = AwakeTime()
    return lambda: awake.at(monotonic())
