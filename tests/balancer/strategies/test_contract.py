"""What every strategy promises, whatever its rule: runs on each name in the table by itself."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.load import LoadLedger
from balancer.strategies import STRATEGIES, Strategy, load_strategy
from registry.model import Instance, InstanceId, ServiceName
from tests.balancer.strategies.asked import Asked, loaded

pytestmark = pytest.mark.parametrize("name", sorted(STRATEGIES))


def instances(*weights: int, first: int = 0) -> tuple[Instance, ...]:
    return tuple(
        Instance(InstanceId(f"i{n}"), ServiceName("s"), "h", 1000 + n, "127.0.0.1", weight=weight)
        for n, weight in enumerate(weights, start=first)
    )


class Held:
    """Calls that begin and do not end, so that load-aware and load-blind strategies see the same task."""

    def __init__(self, strategy: Strategy) -> None:
        self.asked = Asked(strategy)
        self.calls: Counter[InstanceId] = Counter()

    def pick(self, candidates: Sequence[Instance]) -> Instance:
        picked = self.asked.pick(candidates)
        assert picked is not None
        self.calls[picked.id] += 1
        self.asked.begin(picked)
        return picked

    def all_end(self) -> None:
        self.asked.loads = LoadLedger()
        self.calls.clear()


weights = st.lists(st.integers(1, 10), min_size=1, max_size=8)
seeds = st.integers(0, 2**32)


@given(weights=weights, untried=st.sets(st.integers(0, 7)), seed=seeds, load=st.integers(0, 5))
def test_it_picks_an_untried_candidate_or_nobody(
    name: str, weights: list[int], untried: set[int], seed: int, load: int
) -> None:
    candidates = instances(*weights)
    asked = loaded(load_strategy(name, random.Random(seed)), candidates, lambda i: load)
    allowed = {c.id for n, c in enumerate(candidates) if n in untried}
    tried = frozenset(c.id for c in candidates) - allowed
    for _ in range(10):
        picked = asked.pick(candidates, tried)
        if allowed:
            assert picked in candidates
            assert picked.id in allowed
        else:
            assert picked is None


def test_nobody_is_picked_among_nobody(name: str, rng: random.Random) -> None:
    assert Asked(load_strategy(name, rng)).pick(()) is None


@given(weights=weights, seed=seeds)
def test_calls_are_in_proportion_to_the_weights(name: str, weights: list[int], seed: int) -> None:
    """Not only in the end: after any number of calls nobody is more than about one turn ahead."""
    held = Held(load_strategy(name, random.Random(seed)))
    candidates, total = instances(*weights), sum(weights)
    for calls in range(1, 5 * total + 1):
        held.pick(candidates)
        for candidate in candidates:
            share = calls * candidate.weight / total
            # A light one may be up to a turn of all others early or late, hence two calls.
            assert abs(held.calls[candidate.id] - share) <= max(2, len(candidates) / 2)


def test_equal_ones_take_turns(name: str, rng: random.Random) -> None:
    """Also when every call ends before the next begins, so that the load is always zero."""
    asked = Asked(load_strategy(name, rng))
    candidates = instances(1, 1, 1)
    picked = [asked.pick(candidates) for _ in range(9)]
    assert all(set(picked[n : n + 3]) == set(candidates) for n in range(0, 9, 3))


@given(weights=weights, seed=seeds)
def test_equal_seeds_make_equal_choices(name: str, weights: list[int], seed: int) -> None:
    candidates = instances(*weights)
    first, second = (Held(load_strategy(name, random.Random(seed))) for _ in range(2))
    assert [first.pick(candidates) for _ in range(30)] == [second.pick(candidates) for _ in range(30)]


def test_gateways_started_together_do_not_start_at_the_same_instance(name: str) -> None:
    candidates = instances(*[1] * 8)
    firsts = {Held(load_strategy(name, random.Random(seed))).pick(candidates) for seed in range(40)}
    assert len(firsts) > 3


@given(seed=seeds, before=st.integers(0, 500))
def test_a_newcomer_gets_its_share_and_no_burst(name: str, seed: int, before: int) -> None:
    held = Held(load_strategy(name, random.Random(seed)))
    old = instances(1, 1, 1)
    for _ in range(before):
        held.pick(old)
    # Calls end as well as begin: all are equally busy when the newcomer arrives.
    held.all_end()
    both = (*old, *instances(1, first=3))
    newcomer = both[-1]
    picks = [held.pick(both) is newcomer for _ in range(40)]
    assert sum(picks[:4]) <= 2
    assert 8 <= sum(picks) <= 12


@given(seed=seeds)
def test_the_rest_shares_evenly_when_a_heavy_one_leaves(name: str, seed: int) -> None:
    held = Held(load_strategy(name, random.Random(seed)))
    for _ in range(150):
        held.pick(instances(100, 1, 1))
    held.all_end()
    rest = instances(1, 1, first=1)
    for calls in range(1, 21):
        held.pick(rest)
        assert abs(held.calls[rest[0].id] - calls / 2) <= 1


@given(seed=seeds)
def test_who_was_passed_over_for_a_while_comes_back_without_a_burst(name: str, seed: int) -> None:
    asked = Asked(load_strategy(name, random.Random(seed)))
    candidates = instances(1, 1, 1)
    away = candidates[0]
    for _ in range(300):
        assert asked.pick(candidates, frozenset({away.id})) is not away
    picks = [asked.pick(candidates) is away for _ in range(9)]
    assert sum(picks[:3]) <= 2
    assert 2 <= sum(picks) <= 4


@given(
    seed=seeds,
    changes=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True), max_size=12),
)
def test_it_follows_the_catalogue_whatever_changes(name: str, seed: int, changes: list[list[int]]) -> None:
    held = Held(load_strategy(name, random.Random(seed)))
    everybody = instances(3, 1, 4, 1, 5, 9, 2, 6, 5, 3)
    for members in changes:
        candidates = tuple(everybody[n] for n in members)
        for _ in range(7):
            assert held.pick(candidates) in candidates
