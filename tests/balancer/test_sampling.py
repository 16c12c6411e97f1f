"""Lots fall by weight, on the untried only, and two are two."""

import random
from collections import Counter
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.candidates import FULL_SCAN, candidates
from balancer.sampling import Sampler
from registry.model import Instance, InstanceId, ServiceName

NOBODY_TRIED: frozenset[InstanceId] = frozenset()


def sampler(*weights: float) -> Sampler:
    instances = [
        Instance(InstanceId(f"i{n}"), ServiceName("s"), "h", 1000 + n, "127.0.0.1")
        for n in range(len(weights))
    ]
    return Sampler(candidates(instances, weights))


def ids(places: set[int]) -> frozenset[InstanceId]:
    return frozenset(InstanceId(f"i{at}") for at in places)


@pytest.mark.parametrize("weights", [(1.0,) * 12, (0.1, 1, 2, 3, 5, 8, 1, 1, 1, 1)])
def test_lots_fall_in_proportion_to_the_weights(weights: tuple[float, ...], rng: random.Random) -> None:
    of, draws = sampler(*weights), 20_000
    seen = Counter(of.one(NOBODY_TRIED, rng) for _ in range(draws))
    for at, weight in enumerate(weights):
        share = draws * weight / sum(weights)
        assert abs(seen[at] - share) < 5 * sqrt(share)


@given(
    weights=st.lists(st.floats(0.1, 100), min_size=1, max_size=30),
    tried=st.sets(st.integers(0, 29)),
    seed=st.integers(),
)
def test_contenders_are_untried_and_distinct(weights: list[float], tried: set[int], seed: int) -> None:
    untried = set(range(len(weights))) - tried
    places = sampler(*weights).contenders(ids(tried), random.Random(seed))
    assert len(set(places)) == len(places)
    assert set(places) <= untried
    assert len(places) == (len(untried) if len(weights) <= FULL_SCAN else min(2, len(untried)))


def test_the_last_one_left_is_found_behind_a_heavy_one(rng: random.Random) -> None:
    """A lot would fall on it once in a hundred thousand draws."""
    of = sampler(1_000_000, *[0.1] * 10)
    assert of.one(ids(set(range(10))), rng) == 10
    first, second = of.contenders(NOBODY_TRIED, rng)
    assert first == 0
    assert second != 0


def test_the_first_of_a_few_is_everyone_as_often(rng: random.Random) -> None:
    of = sampler(1, 1, 1)
    seen = Counter(of.contenders(NOBODY_TRIED, rng)[0] for _ in range(3000))
    assert all(abs(seen[at] - 1000) < 5 * sqrt(1000) for at in range(3))


def test_nobody_contends_among_nobody(rng: random.Random) -> None:
    assert sampler().one(NOBODY_TRIED, rng) is None
    assert not sampler().contenders(NOBODY_TRIED, rng)
    assert repr(sampler()) == "<Sampler: 0 candidates>"
