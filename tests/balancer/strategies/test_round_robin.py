"""Smoothness and weight changes; what every strategy promises stands in test_contract.py."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from balancer.strategies.round_robin import RoundRobin
from registry.model import Instance
from tests.balancer.strategies.asked import Asked, loaded
from tests.balancer.strategies.test_contract import instances


def picks(strategy: RoundRobin, candidates: tuple[Instance, ...], count: int) -> list[Instance | None]:
    asked = Asked(strategy)
    return [asked.pick(candidates) for _ in range(count)]


def test_it_is_blind_to_load(rng: random.Random) -> None:
    candidates = instances(1, 1)
    loads = {candidates[0].id: 1000}
    asked = loaded(RoundRobin(rng), candidates, lambda i: loads.get(i.id, 0))
    chosen = [asked.pick(candidates) for _ in range(10)]
    assert chosen.count(candidates[0]) == 5


@given(weight=st.integers(2, 20), seed=st.integers())
def test_turns_are_spread_evenly_in_time(weight: int, seed: int) -> None:
    """The light one's turns are one round apart, and not all at the end of a block."""
    candidates = instances(weight, 1)
    turns = [
        n for n, i in enumerate(picks(RoundRobin(random.Random(seed)), candidates, 200)) if i is candidates[1]
    ]
    assert all(abs(later - earlier - (weight + 1)) <= 1 for earlier, later in pairwise(turns))


@given(seed=st.integers())
def test_a_weight_that_grows_takes_effect_at_once(seed: int) -> None:
    """Also from 0, whose next turn was practically never."""
    strategy = RoundRobin(random.Random(seed))
    picks(strategy, instances(0, 1), 20)
    grown = instances(3, 1)
    chosen = picks(strategy, grown, 40)
    assert 29 <= chosen.count(grown[0]) <= 31


def test_rolling_deploys_leave_no_trace(rng: random.Random) -> None:
    """Every instance replaced a hundred times over: who stayed and who came share alike."""
    strategy = RoundRobin(rng)
    for deploy in range(300):
        picks(strategy, (*instances(1), *instances(1, 1, first=deploy + 1)), 2)
    last = (*instances(1), *instances(1, 1, first=1000))
    chosen = picks(strategy, last, 30)
    assert all(9 <= chosen.count(instance) <= 11 for instance in last)


def test_gateways_do_not_all_begin_with_a_newcomer() -> None:
    """Its first turn is anywhere in its first interval, so a hundred gateways do not start it with a blow."""
    newcomer = instances(1, 1, 1)[-1]
    at_once = 0
    for seed in range(60):
        strategy = RoundRobin(random.Random(seed))
        picks(strategy, instances(1, 1), 100)
        at_once += picks(strategy, (*instances(1, 1), newcomer), 1) == [newcomer]
    assert 5 < at_once < 55
