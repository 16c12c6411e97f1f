"""Least connections, weighted: the instance that would be the least busy with this call on top."""

import random
from collections.abc import Sequence
from math import inf

from balancer.strategies.base import Accept, LoadOf
from registry.model import Instance


class LeastConnections:
    """Lowest (load + 1) / weight wins; candidates that tie take turns.

    The + 1 counts the call being placed, as HAProxy's `leastconn` does: among idle instances the
    heavier one comes first, instead of all of them being equal at zero.
    """

    def __init__(self, rng: random.Random) -> None:
        self._start = rng.randrange(1 << 16)

    def pick(self, candidates: Sequence[Instance], load_of: LoadOf, accept: Accept) -> Instance | None:
        best, best_at, lowest = None, 0, inf
        # Looking from behind the last chosen one on, the first of equals is the one whose turn it is.
        at = self._start % len(candidates) if candidates else 0
        for _ in candidates:
            candidate = candidates[at]
            busy = (load_of(candidate) + 1) / (candidate.weight or 1e-3)
            if busy < lowest and accept(candidate):
                best, best_at, lowest = candidate, at, busy
            at += 1
            if at == len(candidates):
                at = 0
        if best is not None:
            self._start = best_at + 1
        return best


new_strategy = LeastConnections
