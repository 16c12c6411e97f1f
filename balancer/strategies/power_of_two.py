"""The less busy of two drawn by lot; of a few, the least busy of all."""

import random
from math import inf

from balancer.candidates import Candidates, Derived
from balancer.load import LoadLedger
from balancer.policy import HashPolicy
from balancer.sampling import Sampler
from balancer.strategies.base import Strategy
from registry.model import Instance, InstanceId


class PowerOfTwo(Strategy):
    """Lowest (load + 1) / weight among the contenders (`sampling.Sampler.contenders`).

    For services with many gateways: each knows its own calls only, and were they all to look for the
    emptiest, they would all find the same one.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._samplers = Derived(Sampler)

    def pick(
        self,
        candidates: Candidates,
        loads: LoadLedger,
        tried: frozenset[InstanceId],
        key: bytes,  # noqa: ARG002 - part of the protocol
        now: float,
    ) -> Instance | None:
        instances, weights, load_of = candidates.instances, candidates.weights, loads.at(now)
        best, lowest = None, inf
        for at in self._samplers.of(candidates).contenders(tried, self._rng):
            busy = (load_of(instances[at]) + 1) / weights[at]
            if busy < lowest:
                best, lowest = instances[at], busy
        return best


def new_strategy(rng: random.Random, hashing: HashPolicy) -> Strategy:
    del hashing
    return PowerOfTwo(rng)
