"""Smooth weighted round-robin: turns in proportion to the weights, spread evenly in time."""

import random
from math import inf

from balancer.candidates import NOBODY, Candidates
from balancer.load import LoadLedger
from balancer.strategies.base import Strategy
from registry.model import Instance, InstanceId, InstanceKey


class RoundRobin(Strategy):
    """Earliest deadline first, as Envoy's scheduler (envoy/source/common/upstream/edf_scheduler.h).

    Each candidate is due once every 1/weight of virtual time; who is due first is picked, and time
    moves on to that moment. nginx's smooth variant spreads turns as well, but its credits outlive
    the heavy neighbour they were earned beside: when that one leaves, a light one gets a burst.

    Nobody gets a burst here: a newcomer is due somewhere within its first interval, and who was
    passed over for a while is due now, once, and not as often as it was passed over.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._time = 0.0
        self._candidates = NOBODY
        self._due: dict[InstanceKey, float] = {}

    def pick(
        self,
        candidates: Candidates,
        loads: LoadLedger,  # noqa: ARG002 - part of the protocol; turns are blind to load
        tried: frozenset[InstanceId],
        key: bytes,  # noqa: ARG002
        now: float,  # noqa: ARG002
    ) -> Instance | None:
        if candidates is not self._candidates:
            self._follow(candidates)
        best, best_weight, earliest = None, 1.0, inf
        for candidate, weight in zip(candidates.instances, candidates.weights, strict=True):
            if self._due[candidate.key] < earliest and candidate.id not in tried:
                best, best_weight, earliest = candidate, weight, self._due[candidate.key]
        if best is not None:
            self._time = max(self._time, earliest)
            self._due[best.key] = self._time + 1 / best_weight
        return best

    def _follow(self, candidates: Candidates) -> None:
        """Who stays keeps its turn; a random first turn keeps gateways and newcomers out of step."""
        due: dict[InstanceKey, float] = {}
        for c, weight in zip(candidates.instances, candidates.weights, strict=True):
            first = self._rng.random() / weight if c.key not in self._due else inf
            due[c.key] = min(self._due.get(c.key, inf), self._time + min(first, 1 / weight))
        self._candidates, self._due = candidates, due


new_strategy = RoundRobin
