"""What a strategy is: an order among candidates, and nothing else.

Eligibility (healthy, not cooling down, not tried) is decided outside and comes in as `accept`, so a
retry's exclusions need no change in any strategy. A strategy reads no clock and owns its randomness
through the `rng` it is built with. One object serves one service, for as long as the gateway runs.
"""

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from registry.model import Instance

LoadOf = Callable[[Instance], float]
"""Calls in flight at an instance, hand-outs included."""

Accept = Callable[[Instance], bool]


class Strategy(Protocol):
    def pick(self, candidates: Sequence[Instance], load_of: LoadOf, accept: Accept) -> Instance | None:
        """The best candidate that `accept` takes, or `None` when it takes none.

        `candidates` is the same object as long as the catalogue did not change, so what is derived
        from it may be kept by its identity. It may be empty.
        """
        ...


class NewStrategy(Protocol):
    """The type of every module's `new_strategy`."""

    def __call__(self, rng: random.Random) -> Strategy: ...
