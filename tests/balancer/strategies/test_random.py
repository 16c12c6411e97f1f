"""It looks at nothing; what every strategy promises stands in test_contract.py."""

import random
from itertools import pairwise
from math import sqrt

from balancer.policy import HashPolicy
from balancer.strategies.random import new_strategy
from tests.balancer.strategies.asked import loaded
from tests.balancer.strategies.test_contract import instances


def test_it_is_blind_to_load(rng: random.Random) -> None:
    candidates = instances(1, 1)
    asked = loaded(new_strategy(rng, HashPolicy()), candidates, lambda i: 1000 if i is candidates[0] else 0)
    picked = [asked.pick(candidates) for _ in range(1000)]
    assert abs(picked.count(candidates[0]) - 500) < 5 * sqrt(500)


def test_lots_have_no_memory(rng: random.Random) -> None:
    """The same one twice in a row as often as chance has it."""
    candidates = instances(1, 1, 1)
    asked = loaded(new_strategy(rng, HashPolicy()), candidates, lambda i: 0)
    picked = [asked.pick(candidates) for _ in range(3000)]
    repeats = sum(one is other for one, other in pairwise(picked))
    assert abs(repeats - 1000) < 5 * sqrt(1000)
