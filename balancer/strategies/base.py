"""What a strategy is: an order among candidates, and nothing else.

Eligibility (healthy, not put aside, not too new) is decided outside and comes in as `candidates`, so no
strategy knows of it. A strategy reads no clock and owns its randomness through the `rng` it is built
with. One object serves one service, for as long as the gateway runs.
"""

import random
from typing import Protocol

from balancer.candidates import Candidates
from balancer.load import LoadLedger
from balancer.policy import HashPolicy
from registry.model import Instance, InstanceId

NOT_TRIED: frozenset[InstanceId] = frozenset()


class Strategy(Protocol):
    """Strategies inherit from it, for what they have no use for."""

    def pick(
        self, candidates: Candidates, loads: LoadLedger, tried: frozenset[InstanceId], key: bytes, now: float
    ) -> Instance | None:
        """The best candidate that was not tried, or `None` when there is none.

        `candidates` is the same object for as long as nothing about it changes. It may be large, and what a
        pick costs must not grow with it: derive what you need once (`candidates.Derived`).

        `tried` is empty but for a call's second try and those after it. `key` is what the caller is
        recognised by, empty where nothing is. `now` is monotonic seconds.
        """
        ...

    def ended(self, instance: Instance, seconds: float, *, ok: bool, now: float) -> None:
        """A try there has ended, or its answer's head is there: so long after it began."""
        del instance, seconds, ok, now

    def given_up(self, instance: Instance, seconds: float, *, now: float) -> None:
        """A try there was waited for so long and then given up, with no answer and nobody to blame."""
        del instance, seconds, now


class NewStrategy(Protocol):
    """The type of every module's `new_strategy`. `hashing` is for those that go by keys."""

    def __call__(self, rng: random.Random, hashing: HashPolicy) -> Strategy: ...
