import gc
import random
import weakref
from weakref import WeakSet

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.candidates import NOBODY, Candidates, Derived, candidates
from balancer.load import LoadLedger
from balancer.strategies import STRATEGIES, load_strategy
from registry.model import Instance, InstanceId, ServiceName


def instance(n: int, weight: int = 1) -> Instance:
    return Instance(InstanceId(f"i{n}"), ServiceName("s"), "h", 1000 + n, "127.0.0.1", weight=weight)


@given(weights=st.lists(st.integers(1, 9), max_size=6))
def test_what_is_derived_fits_the_weights(weights: list[int]) -> None:
    made = candidates([instance(n, weight) for n, weight in enumerate(weights)])
    assert made.weights == tuple(weights)
    assert made.total == sum(weights)
    assert made.even == (len(set(weights)) < 2)
    assert len(made) == len(weights)


def test_weights_of_the_moment_come_before_the_registrys() -> None:
    made = candidates([instance(1, 5), instance(2, 5)], [0.5, 5.0])
    assert (made.weights, made.even) == ((0.5, 5.0), False)


def test_equal_ones_are_not_the_same() -> None:
    """Strategies keep what they derive under the identity, so nothing else may count."""
    assert candidates([instance(1)]) != candidates([instance(1)])
    assert NOBODY.even


class Maker:
    """Keeps what it was asked to make something of."""

    def __init__(self) -> None:
        self.made: list[Candidates] = []
        self.derived = Derived(self._make)

    def _make(self, among: Candidates) -> int:
        self.made.append(among)
        return len(self.made)

    def ask(self, *among: Candidates) -> list[Candidates]:
        """What was made anew for it."""
        before = len(self.made)
        for one in among:
            made = self.derived.of(one)
            assert self.made[made - 1] is one
        return self.made[before:]


def test_what_is_derived_is_made_once_for_all_that_are_asked_about_in_turns() -> None:
    maker, several = Maker(), [candidates(()) for _ in range(4)]
    assert maker.ask(*several) == several
    assert maker.ask(*several * 3, *reversed(several)) == []
    maker.derived.forget()
    assert maker.ask(several[0]) == several[:1]


class Thing:
    """Something that can be referred to weakly."""


def test_what_nobody_can_ask_about_any_more_is_gone() -> None:
    alive: WeakSet[Thing] = WeakSet()

    def make(among: Candidates) -> Thing:
        thing = Thing()
        alive.add(thing)
        return thing

    derived, local = Derived(make), candidates(())
    for _ in range(5):
        derived.of(candidates(()))
        derived.of(local)
        gc.collect()
        assert len(alive) == 1


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_strategy_holds_what_has_changed(name: str, rng: random.Random) -> None:
    strategy, loads = load_strategy(name, rng), LoadLedger()
    old = candidates([instance(n) for n in range(20)])
    strategy.pick(old, loads, frozenset(), b"ada", 0.0)
    strategy.pick(candidates([instance(n) for n in range(1, 20)]), loads, frozenset(), b"ada", 0.0)
    gone = weakref.ref(old)
    del old
    gc.collect()
    assert gone() is None


def test_who_makes_it_sees_what_was_asked_about_before() -> None:
    before: list[Candidates | None] = []
    derived = Derived(lambda among: before.append(derived.last))
    first, second = candidates(()), candidates(())
    derived.of(first)
    derived.of(second)
    assert before == [None, first]
