"""The same instance for the same key, from every gateway, for as long as it has room."""

import random

from balancer.candidates import Candidates, Derived
from balancer.load import LoadLedger
from balancer.policy import HashPolicy
from balancer.rings import Rings
from balancer.strategies.base import Strategy
from balancer.strategies.power_of_two import PowerOfTwo
from registry.model import Instance, InstanceId, InstanceKey


class Place:
    """Candidates on their rings, and how many calls they have under way together."""

    __slots__ = ("__weakref__", "_members", "rings", "under_way")

    def __init__(self, candidates: Candidates, loads: LoadLedger, before: Rings | None) -> None:
        self.rings = Rings(candidates, before)
        self._members = frozenset(instance.key for instance in candidates.instances)
        self.under_way = sum(map(loads.load_of, candidates.instances))
        loads.follow(candidates.instances[0].service, self)

    def load_changed(self, key: InstanceKey, load: int, by: int) -> None:
        del load
        if key in self._members:
            self.under_way += by


class Rendezvous(Strategy):
    """The first in the key's line (`rings.Rings`) whose share of the calls under way is not full.

    Full is `balance` times the mean by weight, with the call being placed counted in and rounded up
    (Mirrokni, Thorup & Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016). So while a service is
    nearly idle, a second call of the same key at the same time goes to the next in line.

    Without a key there is no line: such a call goes where there is room, as `power_of_two` does it.
    """

    def __init__(self, rng: random.Random, hashing: HashPolicy) -> None:
        self._balance = hashing.balance
        self._without_key = PowerOfTwo(rng)
        self._loads: LoadLedger | None = None
        self._rings: Rings | None = None
        """Made last."""
        self._places = Derived(self._place)

    def pick(
        self, candidates: Candidates, loads: LoadLedger, tried: frozenset[InstanceId], key: bytes, now: float
    ) -> Instance | None:
        instances, weights, load_of = candidates.instances, candidates.weights, loads.at(now)
        if not key or not instances:
            return self._without_key.pick(candidates, loads, tried, key, now)
        if loads is not self._loads:
            self._loads = loads
            self._places.forget()
        place = self._places.of(candidates)
        full_at = self._balance * (place.under_way + 1) / candidates.total

        def has_room(at: int) -> bool:
            return load_of(instances[at]) < full_at * weights[at] and instances[at].id not in tried

        first = place.rings.first(key, has_room)
        if first is None and tried:
            # Whoever has room was tried: the next in line gets a call too many.
            first = place.rings.first(key, lambda at: instances[at].id not in tried)
        return None if first is None else instances[first]

    def _place(self, candidates: Candidates) -> Place:
        assert self._loads is not None
        place = Place(candidates, self._loads, self._rings)
        self._rings = place.rings
        return place


new_strategy = Rendezvous
