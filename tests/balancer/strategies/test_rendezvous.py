"""Keys and their instances; what every strategy promises stands in test_contract.py."""

import random
from collections import Counter
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer.load import Lease
from balancer.policy import HashPolicy
from balancer.strategies.rendezvous import new_strategy
from registry.model import Instance, InstanceId
from tests.balancer.strategies.asked import Asked
from tests.balancer.strategies.test_contract import instances

KEYS = [b"user-%d" % number for number in range(200)]
weights = st.lists(st.integers(1, 10), min_size=1, max_size=20)


def gateway(seed: int = 1, balance: float = 1.25) -> Asked:
    return Asked(new_strategy(random.Random(seed), HashPolicy(balance=balance)))


def owners(asked: Asked, among: tuple[Instance, ...]) -> list[Instance | None]:
    return [asked.pick(among, key=key) for key in KEYS]


@settings(max_examples=30)
@given(weights=weights, seeds=st.tuples(st.integers(), st.integers()))
def test_all_gateways_agree(weights: list[int], seeds: tuple[int, int]) -> None:
    """With candidates in any order."""
    candidates = instances(*weights)
    first, second = (gateway(seed) for seed in seeds)
    assert owners(first, candidates) == owners(second, tuple(reversed(candidates)))


@settings(max_examples=30)
@given(weights=weights, leaves=st.integers(0, 19))
def test_who_leaves_takes_along_nobody_elses_keys(weights: list[int], leaves: int) -> None:
    """And gets its own back when it returns."""
    before = instances(*weights, 1)
    gone = before[leaves % len(before)]
    after = tuple(i for i in before if i is not gone)
    asked = gateway()
    had = owners(asked, before)
    for was, now in zip(had, owners(asked, after), strict=True):
        assert now is was or (was is gone and now is not None)
    assert owners(asked, before) == had


@settings(max_examples=50)
@given(
    weights=weights,
    balance=st.sampled_from([1.0, 1.25, 2.0]),
    calls=st.lists(st.tuples(st.sampled_from(KEYS[:5]), st.booleans()), max_size=120),
)
def test_nobody_gets_more_than_its_share_of_the_load(
    weights: list[int], balance: float, calls: list[tuple[bytes, bool]]
) -> None:
    """Few keys, so that all want to go to the same ones; calls end as well as begin."""
    asked, candidates, total = gateway(balance=balance), instances(*weights), sum(weights)
    under_way: list[Lease] = []
    for key, one_ends in calls:
        if one_ends and under_way:
            under_way.pop(0).finish()
        picked = asked.pick(candidates, key=key)
        assert picked is not None
        load = asked.loads.load_of(picked)
        assert load + 1 <= ceil(balance * (len(under_way) + 1) * picked.weight / total + 1e-9)
        under_way.append(asked.loads.start(picked, 0.0))


def test_a_hot_key_flows_over_along_its_line_and_comes_back() -> None:
    asked, candidates = gateway(), instances(*[1] * 10)
    first = asked.pick(candidates, key=b"hot")
    assert first is not None
    line = [first]
    leases = []
    for _ in range(40):
        picked = asked.pick(candidates, key=b"hot")
        assert picked is not None
        if picked not in line:
            line.append(picked)
        leases.append(asked.loads.start(picked, 0.0))
    assert len(line) >= 8
    for lease in leases:
        lease.finish()
    assert asked.pick(candidates, key=b"hot") is first
    for known in range(1, 5):
        tried = frozenset(i.id for i in line[:known])
        assert asked.pick(candidates, tried, b"hot") is line[known]


def test_whoever_is_left_gets_a_call_too_many() -> None:
    """An instance that is over its share is better than no answer."""
    asked, (full, tried) = gateway(balance=1.0), instances(1, 1)
    asked.begin(full, 10)
    assert asked.pick((full, tried), frozenset({tried.id}), b"ada") is full


def test_loads_of_before_its_first_pick_count() -> None:
    asked, candidates = gateway(), instances(1, 1, 1)
    owner = gateway().pick(candidates, key=b"ada")
    assert owner is not None
    asked.begin(owner, 5)
    assert asked.pick(candidates, key=b"ada") is not owner


@pytest.mark.parametrize("size", [3, 12])
def test_without_a_key_a_call_goes_where_there_is_room(size: int) -> None:
    asked, candidates = gateway(), instances(*[1] * size)
    asked.begin(candidates[0], 3)
    picked = Counter[InstanceId](
        chosen.id for chosen in (asked.pick(candidates) for _ in range(200)) if chosen is not None
    )
    assert set(picked) == {i.id for i in candidates[1:]}
