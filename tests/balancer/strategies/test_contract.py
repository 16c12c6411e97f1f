"""What every strategy promises, whatever its rule: runs on each name in the table by itself.

Most draw lots, so they promise shares in the long run only; what those that go by turns promise beyond that
stands at the end. Nobody has a key here: what keys are promised stands in test_rendezvous.py.
"""

import random
from collections import Counter
from collections.abc import Sequence
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer.load import LoadLedger
from balancer.strategies import STRATEGIES, Strategy, load_strategy
from registry.model import Instance, InstanceId, ServiceName
from tests.balancer.strategies.asked import Asked, loaded
from tests.balancer.strategies.steps import steps_of_calls

IN_TURNS = ("least_connections", "round_robin")
"""They draw no lots but for where they begin."""
each = pytest.mark.parametrize("name", sorted(STRATEGIES))
each_in_turns = pytest.mark.parametrize("name", IN_TURNS)


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

    def counts(self, candidates: Sequence[Instance], calls: int) -> list[int]:
        """How many of so many calls each of the candidates gets."""
        picked = Counter(self.pick(candidates).id for _ in range(calls))
        return [picked[candidate.id] for candidate in candidates]

    def all_end(self) -> None:
        self.asked.loads = LoadLedger()
        self.calls.clear()


weights = st.lists(st.integers(1, 10), min_size=1, max_size=12)
"""Of few candidates and of many: most strategies look at all of a few only."""
seeds = st.integers(0, 2**32)


def by_lot(expected: float) -> float:
    """How far a count drawn by lot may be off: five standard deviations, and two for small ones."""
    return 5 * sqrt(expected) + 2


@each
@settings(max_examples=25)
@given(weights=weights, untried=st.sets(st.integers(0, 11)), seed=seeds, load=st.integers(0, 5))
def test_it_picks_an_untried_candidate_or_nobody(
    name: str, weights: list[int], untried: set[int], seed: int, load: int
) -> None:
    candidates = instances(*weights)
    asked = loaded(load_strategy(name, random.Random(seed)), candidates, lambda i: load)
    allowed = {c.id for n, c in enumerate(candidates) if n in untried}
    tried = frozenset(c.id for c in candidates) - allowed
    for key in (b"", b"ada", b"", b"bob"):
        picked = asked.pick(candidates, tried, key)
        if allowed:
            assert picked in candidates
            assert picked.id in allowed
        else:
            assert picked is None


@each
def test_nobody_is_picked_among_nobody(name: str, rng: random.Random) -> None:
    assert Asked(load_strategy(name, rng)).pick((), key=b"") is None
    assert Asked(load_strategy(name, rng)).pick((), key=b"ada") is None


@each
@settings(max_examples=25)
@given(weights=weights, seed=seeds)
def test_equal_seeds_make_equal_choices(name: str, weights: list[int], seed: int) -> None:
    candidates = instances(*weights)
    first, second = (Held(load_strategy(name, random.Random(seed))) for _ in range(2))
    assert [first.pick(candidates) for _ in range(30)] == [second.pick(candidates) for _ in range(30)]


@each
@pytest.mark.parametrize("size", [8, 20])
def test_gateways_started_together_do_not_start_at_the_same_instance(name: str, size: int) -> None:
    candidates = instances(*[1] * size)
    firsts = {Held(load_strategy(name, random.Random(seed))).pick(candidates) for seed in range(40)}
    assert len(firsts) > 3


@each
@settings(max_examples=25)
@given(
    seed=seeds,
    changes=st.lists(st.lists(st.integers(0, 11), min_size=1, max_size=12, unique=True), max_size=12),
)
def test_it_follows_the_catalogue_whatever_changes(name: str, seed: int, changes: list[list[int]]) -> None:
    held = Held(load_strategy(name, random.Random(seed)))
    everybody = instances(3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8)
    for members in changes:
        candidates = tuple(everybody[n] for n in members)
        for _ in range(7):
            assert held.pick(candidates) in candidates


@each
@settings(max_examples=25)
@given(seed=seeds, calls=st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60))
def test_it_may_be_asked_about_several_sets_in_turns(
    name: str, seed: int, calls: list[tuple[int, bool]]
) -> None:
    """About candidates of the own zone and all, for calls and for hand-outs, each changing now and then."""
    held = Held(load_strategy(name, random.Random(seed)))
    everybody = instances(*[1, 2, 3] * 6)
    sets = [everybody[n : n + 9 + n] for n in range(6)]
    for asked, change in calls:
        if change:
            sets[asked] = sets[asked][1:] or everybody
        assert held.pick(sets[asked]) in sets[asked]


@each
@settings(max_examples=25)
@given(weights=weights, seed=seeds)
def test_calls_are_in_proportion_to_the_weights_in_the_long_run(
    name: str, weights: list[int], seed: int
) -> None:
    candidates, total = instances(*weights), sum(weights)
    calls = 20 * total
    counts = Held(load_strategy(name, random.Random(seed))).counts(candidates, calls)
    for candidate, got in zip(candidates, counts, strict=True):
        share = calls * candidate.weight / total
        assert abs(got - share) <= by_lot(share)


@each
@settings(max_examples=25)
@given(seed=seeds, before=st.integers(0, 300), size=st.sampled_from([3, 11]))
def test_a_newcomer_gets_its_share_and_no_burst(name: str, seed: int, before: int, size: int) -> None:
    held = Held(load_strategy(name, random.Random(seed)))
    old = instances(*[1] * size)
    held.counts(old, before)
    # Calls end as well as begin: all are equally busy when the newcomer arrives.
    held.all_end()
    both = (*old, *instances(1, first=size))
    assert abs(held.counts(both, 10 * len(both))[-1] - 10) <= by_lot(10)


@each
@settings(max_examples=25)
@given(seed=seeds, size=st.sampled_from([3, 11]))
def test_the_rest_shares_evenly_when_a_heavy_one_leaves(name: str, seed: int, size: int) -> None:
    held = Held(load_strategy(name, random.Random(seed)))
    held.counts(instances(100, *[1] * (size - 1)), 150)
    held.all_end()
    rest = instances(*[1] * (size - 1), first=1)
    assert all(abs(count - 20) <= by_lot(20) for count in held.counts(rest, 20 * len(rest)))


@each
@settings(max_examples=25)
@given(seed=seeds, size=st.sampled_from([3, 11]))
def test_who_was_passed_over_for_a_while_comes_back_without_a_burst(name: str, seed: int, size: int) -> None:
    asked = Asked(load_strategy(name, random.Random(seed)))
    candidates = instances(*[1] * size)
    away = candidates[0]
    for _ in range(300):
        assert asked.pick(candidates, frozenset({away.id})) is not away
    picks = [asked.pick(candidates) is away for _ in range(10 * size)]
    assert abs(sum(picks) - 10) <= by_lot(10)


@each
def test_a_pick_costs_the_same_among_ten_thousand_as_among_ten(name: str) -> None:
    few, many = (
        steps_of_calls(load_strategy(name, random.Random(1)), instances(*[1] * size)) for size in (10, 10_000)
    )
    assert few > 1000
    assert many <= 2 * few


@each_in_turns
@settings(max_examples=25)
@given(weights=weights, seed=seeds)
def test_turns_are_in_proportion_after_any_number_of_calls(name: str, weights: list[int], seed: int) -> None:
    """Nobody is more than about one turn ahead."""
    held = Held(load_strategy(name, random.Random(seed)))
    candidates, total = instances(*weights), sum(weights)
    for calls in range(1, 5 * total + 1):
        held.pick(candidates)
        for candidate in candidates:
            share = calls * candidate.weight / total
            # A light one may be up to a turn of all others early or late, hence two calls.
            assert abs(held.calls[candidate.id] - share) <= max(2, len(candidates) / 2)


@each_in_turns
@pytest.mark.parametrize("size", [3, 11])
def test_equal_ones_take_turns(name: str, size: int, rng: random.Random) -> None:
    """Also when every call ends before the next begins, so that the load is always zero."""
    asked = Asked(load_strategy(name, rng))
    candidates = instances(*[1] * size)
    picked = [asked.pick(candidates) for _ in range(3 * size)]
    assert all(set(picked[n : n + size]) == set(candidates) for n in range(0, 3 * size, size))


@each_in_turns
@settings(max_examples=25)
@given(seed=seeds, before=st.integers(0, 300))
def test_a_newcomers_turns_come_one_at_a_time(name: str, seed: int, before: int) -> None:
    held = Held(load_strategy(name, random.Random(seed)))
    old = instances(1, 1, 1)
    held.counts(old, before)
    held.all_end()
    both = (*old, *instances(1, first=3))
    picks = [held.pick(both) is both[-1] for _ in range(40)]
    assert sum(picks[:4]) <= 2
    assert 8 <= sum(picks) <= 12


@each_in_turns
@settings(max_examples=25)
@given(seed=seeds)
def test_what_a_heavy_one_leaves_is_shared_by_turns(name: str, seed: int) -> None:
    held = Held(load_strategy(name, random.Random(seed)))
    held.counts(instances(100, 1, 1), 150)
    held.all_end()
    rest = instances(1, 1, first=1)
    for calls in range(1, 21):
        held.pick(rest)
        assert abs(held.calls[rest[0].id] - calls / 2) <= 1


@each_in_turns
@settings(max_examples=25)
@given(seed=seeds)
def test_missed_turns_are_not_made_up_for(name: str, seed: int) -> None:
    asked = Asked(load_strategy(name, random.Random(seed)))
    candidates = instances(1, 1, 1)
    away = candidates[0]
    for _ in range(300):
        assert asked.pick(candidates, frozenset({away.id})) is not away
    picks = [asked.pick(candidates) is away for _ in range(9)]
    assert sum(picks[:3]) <= 2
    assert 2 <= sum(picks) <= 4
