"""The figures of a storm are what they say they are."""

import random

from hypothesis import given
from hypothesis import strategies as st

from tests.handlers.fleet.storm import Storm, Tally, by_handler, most_above

instants = st.lists(st.floats(0, 20), max_size=40).map(sorted)


def test_joins_past_the_cap_are_counted_and_stay() -> None:
    tally = Tally(capacity=2, connections=[1, 0])
    for at in (0.1, 0.2, 0.9, 1.1):
        tally.join(0, at)
    seen = tally.outcome()
    assert (seen.spread, seen.over_cap, seen.worst_per_s, seen.last_s) == (5, 3, 3, 1.1)
    assert seen.peak_to_mean == 2.0


def test_arrivals_are_drawn_from_the_seed() -> None:
    storm = Storm(clients=100)
    first, second = (storm.arrivals(random.Random(7)) for _ in range(2))
    assert first == second == sorted(first)
    assert all(0 <= at <= storm.within_s for at in first)


def test_joins_by_handler() -> None:
    assert by_handler([(2.0, 1), (1.0, 1), (1.5, 0)]) == {1: [1.0, 2.0], 0: [1.5]}


@given(instants, st.floats(0.1, 100))
def test_what_a_bucket_must_hold_is_the_worst_of_all_windows(joins: list[float], rate: float) -> None:
    worst = max(
        (
            last + 1 - first - rate * (joins[last] - joins[first])
            for first in range(len(joins))
            for last in range(first, len(joins))
        ),
        default=0.0,
    )
    assert abs(most_above(rate, joins) - worst) < 1e-6
