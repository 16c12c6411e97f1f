"""The cost of choosing an instance, against how many there are, for every strategy of the table.

In this process, without a socket: choose, begin the lease, end the oldest one. So the loads change under the
strategy as they do in a gateway with `IN_FLIGHT` calls.
"""

import random
from collections import deque
from itertools import cycle
from time import perf_counter

from balancer.eligibility import EligibilityLedger
from balancer.load import LoadLedger
from balancer.policy import ServicePolicy
from balancer.selection import choose
from balancer.strategies import STRATEGIES, load_strategy
from bench.report import Goal, Options, Report, Row, ratio
from registry.model import Instance, InstanceId, ServiceName, ServiceSnapshot, Status, snapshot

SIZES = (10, 100, 1_000, 10_000)
IN_FLIGHT = 64
BATCH_S = 0.05
"""How long one timed batch of picks takes, about."""
BATCHES = 20
KEYS = tuple(b"user-%d" % number for number in range(1000))
"""What the callers are recognised by, in turns: `rendezvous` goes by it, the others don't look at it."""
GOAL = 2.0
SERVICE = ServiceName("bench")


def measure(options: Options) -> Report:
    rows = tuple(Row(name, costs(name, options)) for name in STRATEGIES)
    goals = []
    for row in rows:
        small, large = (row.figures[f"pick_us_{size}"] for size in (SIZES[0], SIZES[-1]))
        text = f"{row.case}: among {SIZES[-1]:,} / among {SIZES[0]}"
        goals.append(Goal(text, ratio(large, small), "at most", GOAL))
    return Report(
        measurement="picks",
        title="Choose an instance among N, with its lease (µs)",
        rows=rows,
        goals=tuple(goals),
        notes=(
            f"in one process, {IN_FLIGHT} calls in flight, weights 1; the best of {BATCHES} batches",
            "the lease's begin and end are part of it: a strategy may do its work there",
            "answers of a millisecond are reported to the strategy, as the balancer does",
        ),
    )


def costs(name: str, options: Options) -> dict[str, float]:
    """Microseconds a pick, by size. The sizes take turns: a shared machine has better and worse moments."""
    sizes = {size: Picks(name, size, options) for size in SIZES}
    best = {size: picks.take(20) for size, picks in sizes.items()}
    counts = {size: max(20, min(200_000, int(BATCH_S * 1e6 / first))) for size, first in best.items()}
    for _ in range(2 if options.quick else BATCHES):
        for size, picks in sizes.items():
            best[size] = min(best[size], picks.take(counts[size]))
    return {f"pick_us_{size}": round(us, 2) for size, us in best.items()}


class Picks:
    def __init__(self, strategy: str, size: int, options: Options) -> None:
        self._snapshot = service_of(size)
        self._strategy = load_strategy(strategy, random.Random(options.seed))
        self._loads = LoadLedger()
        self._eligible = EligibilityLedger(ServicePolicy(strategy))
        self._keys = cycle(KEYS)
        self._leases = deque(self._loads.start(self._choose(), 0.0) for _ in range(IN_FLIGHT))

    def take(self, count: int) -> float:
        """Microseconds for each of so many picks."""
        loads, leases, ended, started = self._loads, self._leases, self._strategy.ended, perf_counter()
        for _ in range(count):
            instance = self._choose()
            leases.append(loads.start(instance, 0.0))
            leases.popleft().finish()
            ended(instance, 0.001, ok=True, now=0.0)
        return (perf_counter() - started) / count * 1e6

    def _choose(self) -> Instance:
        key = next(self._keys)
        chosen = choose(self._snapshot, self._eligible, self._loads, self._strategy, frozenset(), key, 0.0)
        assert isinstance(chosen, Instance)
        return chosen


def service_of(size: int) -> ServiceSnapshot:
    instances = tuple(
        Instance(InstanceId(f"bench-{number}"), SERVICE, "127.0.0.1", 1024 + number, "127.0.0.1")
        for number in range(size)
    )
    return snapshot(SERVICE, Status.KNOWN, instances=instances)
