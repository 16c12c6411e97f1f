"""Candidates drawn by lot, in proportion to their weights: one, or the two that are compared.

Rules of this file: places among the candidates go in and out; what is compared is the strategy's.
"""

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from random import Random

from balancer.candidates import FULL_SCAN, Candidates
from registry.model import InstanceId

DRAWS = 8
"""Made in the hope of an untried candidate. Then the untried ones are counted out, which looks at all."""


class Sampler:
    """Of one `Candidates`."""

    __slots__ = ("_bounds", "_instances", "_turned", "_weights")

    def __init__(self, candidates: Candidates) -> None:
        self._instances, self._weights = candidates.instances, candidates.weights
        self._bounds = None if candidates.even else tuple(accumulate(candidates.weights))
        places = tuple(range(len(candidates)))
        self._turned = tuple(places[at:] + places[:at] for at in places) if len(places) <= FULL_SCAN else None

    def contenders(self, tried: frozenset[InstanceId], rng: Random) -> Sequence[int]:
        """Whom to compare: all that were not tried when there are few, else two of them.

        The few come in order from a random one on, so the first of equals is everyone as often. Two of many
        are hardly worse than all of them (Mitzenmacher, "The Power of Two Choices in Randomized Load
        Balancing", 2001), and gateways that don't know of each other don't all run after the same one.
        """
        instances = self._instances
        if self._turned is not None:
            if not self._turned:
                return ()
            places = self._turned[int(rng.random() * len(instances))]
            return [at for at in places if instances[at].id not in tried] if tried else places
        first = self.one(tried, rng)
        if first is None:
            return ()
        second = self.one(tried, rng, but=first)
        return (first,) if second is None else (first, second)

    def one(self, tried: frozenset[InstanceId], rng: Random, but: int | None = None) -> int | None:
        """One that was not tried and is not `but`; `None` when there is none."""
        instances = self._instances
        if not instances:
            return None
        for _ in range(DRAWS):
            at = self._draw(rng)
            if at != but and instances[at].id not in tried:
                return at
        left = [at for at, i in enumerate(instances) if at != but and i.id not in tried]
        weights = [self._weights[at] for at in left]
        return rng.choices(left, weights)[0] if left else None

    def _draw(self, rng: Random) -> int:
        count, bounds = len(self._instances), self._bounds
        if bounds is None:
            return int(rng.random() * count)
        # `hi`, because the product may be rounded up to the sum.
        return bisect(bounds, rng.random() * bounds[-1], hi=count - 1)

    def __repr__(self) -> str:
        return f"<Sampler: {len(self._instances)} candidates>"
