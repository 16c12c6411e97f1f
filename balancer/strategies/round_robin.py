"""Smooth weighted round-robin: turns in proportion to the weights, spread evenly in time."""

import random
from collections.abc import Sequence
from math import inf

from balancer.strategies.base import Accept, LoadOf
from registry.model import Instance, InstanceKey


class RoundRobin:
    """Earliest deadline first, as Envoy's scheduler (envoy/source/common/upstream/edf_scheduler.h).

    Each candidate is due once every 1/weight of virtual time; who is due first is picked, and time
    moves on to that moment. nginx's smooth variant spreads turns as well, but its credits outlive
    the heavy neighbour they were earned beside: when that one leaves, a light one gets a burst.

    Nobody gets a burst here: a newcomer is due somewhere within its first interval, and who was not
    accepted for a while is due now, once, and not as often as it was passed over.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._time = 0.0
        self._candidates: Sequence[Instance] = ()
        self._due: dict[InstanceKey, float] = {}

    def pick(
        self,
        candidates: Sequence[Instance],
        load_of: LoadOf,  # noqa: ARG002 - part of the protocol; turns are blind to load
        accept: Accept,
    ) -> Instance | None:
        if candidates is not self._candidates:
            self._follow(candidates)
        best, earliest = None, inf
        for candidate in candidates:
            if self._due[candidate.key] < earliest and accept(candidate):
                best, earliest = candidate, self._due[candidate.key]
        if best is not None:
            self._time = max(self._time, earliest)
            self._due[best.key] = self._time + _interval(best)
        return best

    def _follow(self, candidates: Sequence[Instance]) -> None:
        """Who stays keeps its turn; a random first turn keeps gateways and newcomers out of step."""
        due: dict[InstanceKey, float] = {}
        for c in candidates:
            first = self._rng.random() * _interval(c) if c.key not in self._due else inf
            due[c.key] = min(self._due.get(c.key, inf), self._time + min(first, _interval(c)))
        self._candidates, self._due = candidates, due


def _interval(instance: Instance) -> float:
    return 1 / max(instance.weight, 1e-3)


new_strategy = RoundRobin
