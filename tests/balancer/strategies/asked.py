"""Asks a strategy as the balancer does, with loads and exclusions that a test writes down plainly."""

from collections.abc import Callable, Sequence

from balancer.candidates import Candidates, candidates
from balancer.load import LoadLedger
from balancer.strategies import Strategy
from registry.model import Instance, InstanceId


class Asked:
    """One strategy and what it sees. The same tuple is the same `Candidates`, as in a gateway."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.loads = LoadLedger()
        self._among: dict[int, tuple[Sequence[Instance], Candidates]] = {}

    def pick(
        self,
        among: Sequence[Instance],
        tried: frozenset[InstanceId] = frozenset(),
        key: bytes = b"",
        now: float = 0.0,
    ) -> Instance | None:
        if id(among) not in self._among:
            # With the sequence itself, so that no other one gets its identity.
            self._among[id(among)] = among, candidates([i for i in among if i.weight > 0])
        return self.strategy.pick(self._among[id(among)][1], self.loads, tried, key, now)

    def begin(self, instance: Instance, calls: int = 1) -> None:
        """So many calls there that do not end."""
        for _ in range(calls):
            self.loads.start(instance, 0.0)


def loaded(strategy: Strategy, instances: Sequence[Instance], load_of: Callable[[Instance], int]) -> Asked:
    """With so many calls under way at each."""
    asked = Asked(strategy)
    for instance in instances:
        asked.begin(instance, load_of(instance))
    return asked
