"""By lot, in proportion to the weights."""

import random

from balancer.candidates import Candidates, Derived
from balancer.load import LoadLedger
from balancer.policy import HashPolicy
from balancer.sampling import Sampler
from balancer.strategies.base import Strategy
from registry.model import Instance, InstanceId


class ByLot(Strategy):
    """Remembers nothing and looks at nothing. A measure for the others more than a choice for a service."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._samplers = Derived(Sampler)

    def pick(
        self,
        candidates: Candidates,
        loads: LoadLedger,  # noqa: ARG002 - part of the protocol
        tried: frozenset[InstanceId],
        key: bytes,  # noqa: ARG002
        now: float,  # noqa: ARG002
    ) -> Instance | None:
        at = self._samplers.of(candidates).one(tried, self._rng)
        return None if at is None else candidates.instances[at]


def new_strategy(rng: random.Random, hashing: HashPolicy) -> Strategy:
    del hashing
    return ByLot(rng)
