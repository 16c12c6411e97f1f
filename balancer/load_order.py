"""The candidates of a large service in the order of their loads, kept up as the loads change.

Rules of this file: exact, and no step of it looks at every candidate but the building. Instances that are
equally busy stand in one queue, a level, so a change of load is a move from one queue's middle to another's
end, and the next pick is the head of the lowest. There are about as many levels as the highest load, times
the different weights.
"""

from collections import OrderedDict
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from balancer.candidates import Candidates
from registry.model import Instance, InstanceId, InstanceKey


class LoadOrder:
    """Follows a `LoadLedger`, so what it says is always as the ledger has it."""

    __slots__ = ("__weakref__", "_busy", "_instances", "_levels", "_lowest", "_most_levels", "_weights")

    def __init__(self, candidates: Candidates, load_of: Callable[[Instance], int], first: int = 0) -> None:
        """Those from the place `first` on have their turn first among equals."""
        pairs = tuple(zip(candidates.instances, candidates.weights, strict=True))
        turned = pairs[first:] + pairs[:first]
        self._weights = {instance.key: weight for instance, weight in turned}
        self._instances = {instance.key: instance for instance, _ in turned}
        self._busy: dict[InstanceKey, float] = {}
        self._levels: dict[float, OrderedDict[InstanceKey, None]] = {}
        self._most_levels = 2 * len(turned) + 64
        for instance, weight in turned:
            # As `_put` does it, for thousands at once.
            key = instance.key
            busy = self._busy[key] = (load_of(instance) + 1) / weight
            level = self._levels.get(busy)
            if level is None:
                level = self._levels[busy] = OrderedDict()
            level[key] = None
        self._lowest = sorted(self._levels)

    def load_changed(self, key: InstanceKey, load: int, by: int) -> None:
        del by
        if key in self._busy:
            del self._levels[self._busy[key]][key]
            self._put(key, load)

    def least(self, tried: frozenset[InstanceId]) -> Instance | None:
        """Whoever would be the least busy with one call more; then it is the last of its equals."""
        levels, lowest = self._levels, self._lowest
        while lowest and not levels[lowest[0]]:
            del levels[heappop(lowest)]
        if not lowest:
            return None
        level = levels[lowest[0]]
        key = next(iter(level))
        if tried and self._instances[key].id in tried:
            return self._least_but(tried)
        level.move_to_end(key)
        return self._instances[key]

    def _least_but(self, tried: frozenset[InstanceId]) -> Instance | None:
        for busy in sorted(self._lowest):
            level = self._levels[busy]
            for key in level:
                if self._instances[key].id not in tried:
                    level.move_to_end(key)
                    return self._instances[key]
        return None

    def _put(self, key: InstanceKey, load: int) -> None:
        # The + 1 counts the call being placed, as HAProxy's `leastconn` does.
        busy = self._busy[key] = (load + 1) / self._weights[key]
        level = self._levels.get(busy)
        if level is None:
            if len(self._lowest) >= self._most_levels:
                self._drop_empty_levels()
            level = self._levels[busy] = OrderedDict()
            heappush(self._lowest, busy)
        level[key] = None

    def _drop_empty_levels(self) -> None:
        """High levels are left behind empty; there are never more of them than instances for long."""
        self._levels = {busy: level for busy, level in self._levels.items() if level}
        self._lowest = list(self._levels)
        heapify(self._lowest)

    def __repr__(self) -> str:
        return f"<LoadOrder: {len(self._instances)} instances on {len(self._levels)} levels>"
