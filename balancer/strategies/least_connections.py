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
        self._rounds = Derived(_rounds)
        self._orders = Derived(self._order)

    def pick(
        self,
        candidates: Candidates,
        loads: LoadLedger,
        tried: frozenset[InstanceId],
        key: bytes,  # noqa: ARG002 - part of the protocol
        now: float,
    ) -> Instance | None:
        loads.expire(now)
        if len(candidates.instances) > FULL_SCAN:
            if loads is not self._loads:
                self._loads = loads
                self._orders.forget()
            return self._orders.of(candidates).least(tried)
        rounds = self._rounds.of(candidates)
        if not rounds:
            return None
        best, lowest, start = None, inf, self._start
        # Looking from behind the last chosen one on, the first of equals is the one whose turn it is.
        count_of = loads.count_of
        for candidate, weight, behind in rounds[start % len(rounds)]:
            busy = (count_of(candidate.key, 0) + 1) / weight
            if busy < lowest and candidate.id not in tried:
                best, lowest, start = candidate, busy, behind
        self._start = start
        return best

    def _order(self, candidates: Candidates) -> LoadOrder:
        assert self._loads is not None
        order = LoadOrder(candidates, self._loads.load_of, self._start % len(candidates))
        self._loads.follow(candidates.instances[0].service, order)
        return order


def _rounds(candidates: Candidates) -> list[list[tuple[Instance, float, int]]]:
    """All of a few candidates with their weights and the place behind them, once from each on."""
    instances, weights = candidates.instances, candidates.weights
    around = list(zip(instances, weights, range(1, len(instances) + 1), strict=True))
    return [around[at:] + around[:at] for at in range(len(around))]


def new_strategy(rng: random.Random, hashing: HashPolicy) -> Strategy:
    del hashing
    return LeastConnections(rng)
