"""Smooth weighted round-robin: turns in proportion to the weights, spread evenly in time."""

import random
from heapq import heapify, heappop, heappush, heapreplace

from balancer.candidates import Candidates, Derived
from balancer.load import LoadLedger
from balancer.policy import HashPolicy
from balancer.strategies.base import Strategy
from registry.model import Instance, InstanceId, InstanceKey

Turns = list[tuple[float, int]]
"""A heap of when each candidate is due, and its place among them. What it says may be too early, when the
candidate got its turn through another heap, and is put right when it comes up."""


class RoundRobin(Strategy):
    """Earliest deadline first, as Envoy's scheduler (envoy/source/common/upstream/edf_scheduler.h).

    Each candidate is due once every 1/weight of virtual time; who is due first is picked, and time
    moves on to that moment. nginx's smooth variant spreads turns as well, but its credits outlive
    the heavy neighbour they were earned beside: when that one leaves, a light one gets a burst.

    Nobody gets a burst here: a newcomer, or who comes back, is due somewhere within its first
    interval; and who was passed over for a while is due now, once, and not as often as it was
    passed over.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._time = 0.0
        self._due: dict[InstanceKey, float] = {}
        self._turns = Derived(self._follow)

    def pick(
        self,
        candidates: Candidates,
        loads: LoadLedger,  # noqa: ARG002 - part of the protocol; turns are blind to load
        tried: frozenset[InstanceId],
        key: bytes,  # noqa: ARG002
        now: float,  # noqa: ARG002
    ) -> Instance | None:
        turns, instances, due = self._turns.of(candidates), candidates.instances, self._due
        passed_over: Turns = []
        chosen = None
        while turns:
            earliest, at = turns[0]
            candidate = instances[at]
            if (later := due.get(candidate.key, earliest)) > earliest:
                heapreplace(turns, (later, at))
            elif candidate.id in tried:
                passed_over.append(heappop(turns))
            else:
                self._time = max(self._time, earliest)
                due[candidate.key] = self._time + 1 / candidates.weights[at]
                heapreplace(turns, (due[candidate.key], at))
                chosen = candidate
                break
        for turn in passed_over:
            heappush(turns, turn)
        return chosen

    def _follow(self, candidates: Candidates) -> Turns:
        """Who stays keeps its turn; a random first turn keeps gateways and newcomers out of step."""
        # Besides these, those asked about before: a service with zones is asked about two sets in turns.
        before = () if self._turns.last is None else self._turns.last.instances
        due = {i.key: self._due[i.key] for i in before if i.key in self._due}
        turns: Turns = []
        for at, (c, weight) in enumerate(zip(candidates.instances, candidates.weights, strict=True)):
            known = due.get(c.key)
            if known is None or known < self._time:
                # New, or its turn was missed while it was away.
                known = self._time + self._rng.random() / weight
            due[c.key] = min(known, self._time + 1 / weight)
            turns.append((due[c.key], at))
        heapify(turns)
        self._due = due
        return turns


def new_strategy(rng: random.Random, hashing: HashPolicy) -> Strategy:
    del hashing
    return RoundRobin(rng)
