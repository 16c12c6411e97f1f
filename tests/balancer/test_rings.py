"""The same as looking at everybody's score, even shares, and nobody else's keys are moved."""

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer.candidates import candidates
from balancer.rings import CIRCLE, SEATS, Rings, steps_of
from registry.model import Instance, InstanceId, ServiceName

KEYS = [b"user-%d" % number for number in range(3000)]
Weights = dict[int, float]
members = st.dictionaries(st.integers(0, 40), st.floats(0.1, 50), min_size=1, max_size=20)


def instance(n: int) -> Instance:
    return Instance(InstanceId(f"chat-{n}"), ServiceName("s"), "h", 1000 + n, "127.0.0.1")


def owners(weights: Weights, keys: list[bytes] = KEYS) -> list[int]:
    """Which of the instances each key belongs to."""
    numbers = list(weights)
    rings = Rings(candidates([instance(n) for n in numbers], [weights[n] for n in numbers]))
    found = [rings.first(key, lambda at: True) for key in keys]
    return [numbers[at] for at in found if at is not None]


def score(key: bytes, n: int, weight: float) -> float:
    """By its definition."""
    places = zip(steps_of(key), steps_of(instance(n).id.encode()), strict=True)
    return min((place - start) % CIRCLE for start, place in places) / weight


@given(weights=members, key=st.binary(max_size=12), full=st.sets(st.integers(0, 40)))
def test_the_lowest_score_of_those_accepted_wins(weights: Weights, key: bytes, full: set[int]) -> None:
    numbers = list(weights)
    rings = Rings(candidates([instance(n) for n in numbers], list(weights.values())))
    at = rings.first(key, lambda at: numbers[at] not in full)
    scores = {n: score(key, n, weights[n]) for n in numbers if n not in full}
    if not scores:
        assert at is None
        return
    assert at is not None
    # Whose point it is stands in the last bits of it, so scores are that coarse.
    assert scores[numbers[at]] <= min(scores.values()) + SEATS / min(weights.values())


@given(weights=members, number=st.integers(0, 40), weight=st.floats(0.1, 50))
def test_a_newcomer_moves_only_the_keys_that_it_gets(weights: Weights, number: int, weight: float) -> None:
    """And, seen from the end, one that leaves moves only those that it had."""
    without = {n: w for n, w in weights.items() if n != number} or {41: 1.0}
    keys = KEYS[:300]
    for before, after in zip(owners(without, keys), owners({**without, number: weight}, keys), strict=True):
        assert after in (before, number)


@given(weights=members, data=st.data(), factor=st.floats(1.1, 10))
def test_a_weight_that_grows_only_draws_keys(weights: Weights, data: st.DataObject, factor: float) -> None:
    number = data.draw(st.sampled_from(sorted(weights)))
    grown = {**weights, number: weights[number] * factor}
    keys = KEYS[:300]
    for before, after in zip(owners(weights, keys), owners(grown, keys), strict=True):
        assert after in (before, number)


@pytest.mark.parametrize(
    "weights",
    [[1.0] * 3, [1.0] * 11, [1.0, 2.0, 3.0], [10.0] * 10 + [1.0] * 2, [1.0] * 20 + [0.1]],
    ids=str,
)
def test_shares_are_as_the_weights_within_a_third(weights: list[float]) -> None:
    keys = [b"%d" % number for number in range(12_000)]
    seen = Counter(owners(dict(enumerate(weights)), keys))
    for n, weight in enumerate(weights):
        share = len(keys) * weight / sum(weights)
        # A tenth of the share is the rings' doing, and the smallest shares here are drawn from few keys.
        assert abs(seen[n] - share) <= share / 3 + 3 * share**0.5


@settings(max_examples=20)
@given(changes=st.lists(st.sets(st.integers(0, 449), max_size=3), min_size=1, max_size=5))
def test_rings_that_are_changed_are_as_those_built_anew(changes: list[set[int]]) -> None:
    """Whoever is in it leaves, whoever is not comes, a few at a time."""
    present, rings = dict.fromkeys(range(400)), None
    for change in changes:
        for number in change:
            if number in present:
                del present[number]
            else:
                present[number] = None
        among = candidates([instance(n) for n in present], [1.0 + n % 3 for n in present])
        rings, anew = Rings(among, rings), Rings(among)
        for key in KEYS[:100]:
            assert rings.first(key, lambda at: True) == anew.first(key, lambda at: True)


def test_a_few_changes_sort_nothing_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    everybody = [instance(n) for n in range(1000)]
    rings = Rings(candidates(everybody))
    monkeypatch.setattr("balancer.rings._sorted_rings", None)
    rings = Rings(candidates(everybody[5:]), rings)
    assert Rings(candidates(everybody[3:]), rings).first(b"ada", lambda at: True) is not None


def test_the_order_of_the_candidates_does_not_matter() -> None:
    weights = {n: 1.0 + n % 3 for n in range(15)}
    assert owners(weights) == owners(dict(reversed(weights.items())))


def test_another_process_comes_to_the_same() -> None:
    """Python's own `hash` of a string differs in every process."""
    program = "from balancer.rings import steps_of; print(steps_of(b'ada'))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == str(steps_of(b"ada"))


def test_it_tells_how_many_it_holds() -> None:
    assert repr(Rings(candidates([instance(1)]))) == "<Rings: 1 candidates>"
