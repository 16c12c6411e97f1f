"""Linkerd's experiment in virtual time: eleven instances, one of which takes longer than anybody waits.

After Buoyant's "Beyond Round Robin: Load Balancing for Latency" (2016): ten answer fast, one in 2 s, and the
callers give up after 1 s. What fails is what the strategy sends to the slow one. Nothing else of the balancer
is here: no ejection, no retries. `bench/work/one_slow.py` does the same with real processes.
"""

import random
from collections import Counter
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from balancer.candidates import candidates
from balancer.load import Lease, LoadLedger
from balancer.strategies import Strategy, load_strategy
from registry.model import Instance, InstanceId, ServiceName

INSTANCES = 11
SLOW_S = 2.0
FAST_S = 0.010
"""The mean; the times themselves are drawn, exponentially distributed."""
TIMEOUT_S = 1.0
USERS = 1000


@dataclass(frozen=True, slots=True)
class Load:
    """Calls start when their time has come, whether or not the ones before have ended."""

    per_s: float = 100.0
    seconds: float = 60.0
    seed: int = 20260901


@dataclass(frozen=True, slots=True)
class Ended:
    """How the calls went."""

    calls: int
    failed: int
    p50_s: float
    p99_s: float

    @property
    def success(self) -> float:
        return 1 - self.failed / self.calls


Call = tuple[float, int, Instance, float, Lease]
"""One under way: when it ends, a number that tells equal ones apart, where, how long it takes."""


class Service:
    """Eleven instances behind one strategy."""

    def __init__(self, strategy: Strategy, rng: random.Random) -> None:
        self._strategy = strategy
        self._rng = rng
        self._loads = LoadLedger()
        self._under_way: list[Call] = []
        self._numbers = count()
        instances = [
            Instance(InstanceId(f"i{n}"), ServiceName("s"), "h", 1000 + n, "127.0.0.1")
            for n in range(INSTANCES)
        ]
        self._slow = instances[-1]
        self._candidates = candidates(instances)
        self.times: list[float] = []

    def call(self, now: float) -> None:
        """One more call, after those that have ended by now."""
        self.end_until(now)
        user = b"user-%d" % self._rng.randrange(USERS)
        where = self._strategy.pick(self._candidates, self._loads, frozenset(), user, now)
        assert where is not None
        takes_s = SLOW_S if where is self._slow else self._rng.expovariate(1 / FAST_S)
        takes_s = min(takes_s, TIMEOUT_S)
        lease = self._loads.start(where, now)
        heappush(self._under_way, (now + takes_s, next(self._numbers), where, takes_s, lease))

    def end_until(self, now: float) -> None:
        while self._under_way and self._under_way[0][0] <= now:
            at, _, where, took_s, lease = heappop(self._under_way)
            lease.finish()
            self._strategy.ended(where, took_s, ok=took_s < TIMEOUT_S, now=at)
            self.times.append(took_s)


def simulate(strategy: str, load: Load) -> Ended:
    """Every draw comes from the load's seed, so equal loads end equally."""
    rng = random.Random(load.seed)
    service = Service(load_strategy(strategy, random.Random(load.seed)), rng)
    now = 0.0
    while (now := now + rng.expovariate(load.per_s)) < load.seconds:
        service.call(now)
    service.end_until(load.seconds + SLOW_S)
    times = sorted(service.times)
    failed = Counter(took_s >= TIMEOUT_S for took_s in times)[True]
    return Ended(len(times), failed, times[len(times) // 2], times[len(times) * 99 // 100])
