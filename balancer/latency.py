"""How long each instance takes: a moving average that jumps up to a peak and comes down in its own time.

After Finagle's PeakEwma.scala (finagle-core/src/main/scala/com/twitter/finagle/loadbalancer), with two
differences. A read does not write, so an estimate between two answers is the last one decayed. And a failure
counts: there a fast error is a fast answer, and an instance that refuses everything at once looks the best
(which Linkerd corrects too: linkerd2-proxy, pull request 4537).

Rules of this file: seconds in, seconds out. What is done with the estimate is the strategy's.
"""

from collections import OrderedDict
from math import exp

from registry.model import InstanceKey

DECAY_S = 10.0
"""A peak is worth 1/e of it that much later. Finagle's and Linkerd's figure."""
FAILED_S = 1.0
"""What a failure counts as, at least, at an instance of which nothing else is known."""
LONGEST_S = 60.0
SPARE = 256
"""Estimates kept besides one for each instance that is there: who has left may come back. Those that were
heard of longest ago go first."""


class LatencyLedger:
    """Of one service. Estimates belong to an instance's key, so a new process starts without one."""

    def __init__(self) -> None:
        self._seen: OrderedDict[InstanceKey, tuple[float, float]] = OrderedDict()
        self._most = SPARE

    def expect(self, instances: int) -> None:
        """So many instances are there now."""
        self._most = instances + SPARE

    def estimate_s(self, key: InstanceKey, now: float) -> float | None:
        """What an answer takes there, decayed to nothing while there is none; `None` before the first."""
        seen = self._seen.get(key)
        return None if seen is None else seen[0] * exp((seen[1] - now) / DECAY_S)

    def observe(self, key: InstanceKey, seconds: float, *, ok: bool, now: float) -> None:
        """An answer that took so long; or a failure, which counts as twice what was expected at least."""
        before = self._seen.get(key)
        if before is None:
            took = seconds if ok else max(seconds, FAILED_S)
        else:
            share = exp((before[1] - now) / DECAY_S)
            expected = before[0] * share
            took = seconds if ok else max(seconds, 2 * expected)
            if took < expected:
                took = expected + took * (1 - share)
        self._remember(key, took, now)

    def observe_at_least(self, key: InstanceKey, seconds: float, *, now: float) -> None:
        """So long somebody waited in vain, and then left: it would have taken longer."""
        expected = self.estimate_s(key, now)
        if expected is None or seconds > expected:
            self._remember(key, seconds, now)

    def _remember(self, key: InstanceKey, seconds: float, now: float) -> None:
        self._seen[key] = min(seconds, LONGEST_S), now
        self._seen.move_to_end(key)
        while len(self._seen) > self._most:
            self._seen.popitem(last=False)

    def __repr__(self) -> str:
        return f"<LatencyLedger: {len(self._seen)} instances>"
