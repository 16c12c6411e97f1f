"""Least connections, weighted: the instance that would be the least busy with this call on top."""

import random
from math import inf

from balancer.candidates import FULL_SCAN, Candidates, Derived
from balancer.load import LoadLedger
from balancer.load_order import LoadOrder
from balancer.policy import HashPolicy
from balancer.strategies.base import Strategy
from registry.model import Instance, InstanceId


class LeastConnections(Strategy):
    """Lowest (load + 1) / weight wins; candidates that tie take turns.

    The + 1 counts the call being placed, as HAProxy's `leastconn` does: among idle instances the
    heavier one comes first, instead of all of them being equal at zero.

    A few are looked at one by one. Of many, an order is kept that the loads' changes move on, so the
    pick is as exact and its cost does not grow with them.
    """

    def __init__(self, rng: random.Random) -> None:
        self._start = rng.randrange(1 << 16)
        self._loads: LoadLedger | None = None
        self._orders = Derived(self._order)

    def pick(
        self,
        candidates: Candidates,
        loads: LoadLedger,
        tried: frozenset[InstanceId],
        key: bytes,  # noqa: ARG002 - part of the protocol
        now: float,
    ) -> Instance | None:
        instances, weights, load_of = candidates.instances, candidates.weights, loads.at(now)
        if len(instances) > FULL_SCAN:
            if loads is not self._loads:
                self._loads = loads
                self._orders.forget()
            return self._orders.of(candidates).least(tried)
        best, best_at, lowest = None, 0, inf
        # Looking from behind the last chosen one on, the first of equals is the one whose turn it is.
        at = self._start % len(instances) if instances else 0
        for _ in instances:
            candidate = instances[at]
            busy = (load_of(candidate) + 1) / weights[at]
            if busy < lowest and candidate.id not in tried:
                best, best_at, lowest = candidate, at, busy
            at += 1
            if at == len(instances):
                at = 0
        if best is not None:
            self._start = best_at + 1
        return best

    def _order(self, candidates: Candidates) -> LoadOrder:
        assert self._loads is not None
        order = LoadOrder(candidates, self._loads.load_of, self._start % len(candidates))
        self._loads.follow(candidates.instances[0].service, order)
        return order


def new_strategy(rng: random.Random, hashing: HashPolicy) -> Strategy:
    del hashing
    return LeastConnections(rng)
