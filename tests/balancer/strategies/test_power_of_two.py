"""The less busy contender; what every strategy promises stands in test_contract.py."""

import random

from hypothesis import given
from hypothesis import strategies as st

from balancer.candidates import FULL_SCAN
from balancer.policy import HashPolicy
from balancer.strategies.power_of_two import new_strategy
from registry.model import Instance
from tests.balancer.strategies.asked import Asked, loaded
from tests.balancer.strategies.test_contract import instances


@given(
    members=st.lists(st.tuples(st.integers(1, 10), st.integers(0, 50)), min_size=1, max_size=FULL_SCAN),
    seed=st.integers(),
)
def test_of_a_few_the_least_busy_of_all_is_picked(members: list[tuple[int, int]], seed: int) -> None:
    candidates = instances(*(weight for weight, _ in members))
    load = {c.id: load for c, (_, load) in zip(candidates, members, strict=True)}
    strategy = new_strategy(random.Random(seed), HashPolicy())
    picked = loaded(strategy, candidates, lambda i: load[i.id]).pick(candidates)
    assert picked is not None
    assert (load[picked.id] + 1) / picked.weight == min((load[c.id] + 1) / c.weight for c in candidates)


def test_of_many_the_busiest_is_never_picked(rng: random.Random) -> None:
    """Two distinct ones are compared, so the busiest loses to whoever it meets."""
    candidates = instances(*[1] * 20)
    asked = loaded(new_strategy(rng, HashPolicy()), candidates, lambda i: 2 if i is candidates[7] else 1)
    assert candidates[7] not in [asked.pick(candidates) for _ in range(500)]


def worst_of(strategy_of: list[Asked], candidates: tuple[Instance, ...]) -> int:
    """The most calls at one instance, when gateways that don't know of each other place one each."""
    picked = [asked.pick(candidates) for asked in strategy_of]
    return max(picked.count(candidate) for candidate in candidates)


def test_gateways_do_not_all_run_after_the_emptiest() -> None:
    candidates = instances(*[1] * 20)
    gateways = [
        loaded(
            new_strategy(random.Random(seed), HashPolicy()),
            candidates,
            lambda i: 0 if i is candidates[3] else 5,
        )
        for seed in range(40)
    ]
    assert worst_of(gateways, candidates) < 15
