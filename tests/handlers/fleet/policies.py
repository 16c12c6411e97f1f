"""The policies that others use, and exact counting: each of them a row of ALLOCATION 1."""

import random
from collections.abc import Callable

from tests.handlers.fleet.storm import Policy, Storm


class Random:
    def __init__(self, storm: Storm, rng: random.Random) -> None:
        self._handlers, self._rng = len(storm.before), rng

    def choose(self, gateway: int, now: float) -> int:
        return self._rng.randrange(self._handlers)

    def told(self, handler: int, connections: int) -> None:
        pass


class Stale:
    """What those know who are told the loads every 2 s."""

    def __init__(self, storm: Storm, rng: random.Random) -> None:
        self._capacity, self._rng = storm.capacity, rng
        self._seen = list(storm.before)
        self._handlers = range(len(storm.before))

    def told(self, handler: int, connections: int) -> None:
        self._seen[handler] = connections


class FreeSeats(Stale):
    """At random, in proportion to the free seats."""

    def choose(self, gateway: int, now: float) -> int:
        free = [max(0, self._capacity - seen) for seen in self._seen]
        return self._rng.choices(self._handlers, free)[0]


class Least(Stale):
    """The least loaded of the view."""

    def choose(self, gateway: int, now: float) -> int:
        return min(self._handlers, key=self._seen.__getitem__)


class LeastAndOwn(Stale):
    """The least loaded of the view, to which each gateway adds what it has sent there since."""

    def __init__(self, storm: Storm, rng: random.Random) -> None:
        super().__init__(storm, rng)
        self._sent = [[0] * len(storm.before) for _ in range(storm.gateways)]

    def choose(self, gateway: int, now: float) -> int:
        sent = self._sent[gateway]
        chosen = min(self._handlers, key=lambda handler: self._seen[handler] + sent[handler])
        sent[chosen] += 1
        return chosen

    def told(self, handler: int, connections: int) -> None:
        super().told(handler, connections)
        for sent in self._sent:
            sent[handler] = 0


class TwoChoices(Stale):
    """The less loaded of two at random."""

    def choose(self, gateway: int, now: float) -> int:
        return min(self._rng.sample(self._handlers, 2), key=self._seen.__getitem__)


class Exact:
    """One count for all gateways, in which a client counts from the moment it is sent. With a rate, a
    bucket per handler: who has no token is passed over."""

    def __init__(self, storm: Storm, _rng: random.Random, per_s: float | None = None) -> None:
        self._counts = list(storm.before)
        self._capacity, self._per_s = storm.capacity, per_s
        self._tokens = [BURST] * len(self._counts)
        self._at = 0.0

    def choose(self, gateway: int, now: float) -> int:
        if self._per_s is not None:
            filled = self._per_s * (now - self._at)
            self._tokens = [min(BURST, tokens + filled) for tokens in self._tokens]
        self._at = now
        ready = [handler for handler, tokens in enumerate(self._tokens) if tokens >= 1]
        chosen = min(ready, key=self._counts.__getitem__)
        self._counts[chosen] += 1
        if self._per_s is not None:
            self._tokens[chosen] -= 1
        return chosen

    def told(self, handler: int, connections: int) -> None:
        pass


BURST = 50.0
"""Clients that a bucket lets in at once."""

POLICIES: dict[str, Callable[[Storm, random.Random], Policy]] = {
    "random": Random,
    "random weighted by free seats": FreeSeats,
    "least-loaded from a 2 s old view": Least,
    "the same + own recent allocations": LeastAndOwn,
    "power of two choices on the stale view": TwoChoices,
    "exact count + reservations": Exact,
    "exact + bucket of 400 joins/s per handler": lambda storm, rng: Exact(storm, rng, 400.0),
    "exact + bucket of 250 joins/s per handler": lambda storm, rng: Exact(storm, rng, 250.0),
}
