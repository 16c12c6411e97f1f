"""Peak EWMA: least latency times load, where a slow answer counts at once and is forgotten slowly."""

import random
from math import inf

from balancer.candidates import Candidates, Derived
from balancer.latency import LatencyLedger
from balancer.load import LoadLedger
from balancer.policy import HashPolicy
from balancer.sampling import Sampler
from balancer.strategies.base import Strategy
from registry.model import Instance, InstanceId

PENALTY_S = 1e5
"""What an instance counts as that has calls under way and never answered one."""


class PeakEwma(Strategy):
    """Lowest estimate x (load + 1) / weight among the contenders, as Finagle's P2CPeakEwma.scala.

    Who never answered gets one call, whoever else is there, and no second one before the first has
    ended. Estimates fade without answers, so who was slow is asked again: after about ten seconds for
    each time it was 2.7 times as slow as the others.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._latencies = LatencyLedger()
        self._samplers = Derived(self._follow)

    def pick(
        self,
        candidates: Candidates,
        loads: LoadLedger,
        tried: frozenset[InstanceId],
        key: bytes,  # noqa: ARG002 - part of the protocol
        now: float,
    ) -> Instance | None:
        instances, weights, load_of = candidates.instances, candidates.weights, loads.at(now)
        estimate_s = self._latencies.estimate_s
        best, lowest = None, inf
        for at in self._samplers.of(candidates).contenders(tried, self._rng):
            instance = instances[at]
            load, expected_s = load_of(instance), estimate_s(instance.key, now)
            if expected_s is None:
                expected_s = PENALTY_S if load else 0.0
            cost = expected_s * (load + 1) / weights[at]
            if cost < lowest:
                best, lowest = instance, cost
        return best

    def ended(self, instance: Instance, seconds: float, *, ok: bool, now: float) -> None:
        self._latencies.observe(instance.key, seconds, ok=ok, now=now)

    def given_up(self, instance: Instance, seconds: float, *, now: float) -> None:
        self._latencies.observe_at_least(instance.key, seconds, now=now)

    def _follow(self, candidates: Candidates) -> Sampler:
        # A service with zones or subsets is asked about some of its instances and others in turns.
        before = self._samplers.last
        self._latencies.expect(len(candidates) + (0 if before is None else len(before)))
        return Sampler(candidates)


def new_strategy(rng: random.Random, hashing: HashPolicy) -> Strategy:
    del hashing
    return PeakEwma(rng)
