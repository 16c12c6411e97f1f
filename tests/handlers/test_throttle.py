from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.model import HandlerId, PoolSettings
from handlers.throttle import NEVER, SLACK, Throttle, longest_wait_s

POOL = PoolSettings(joins_per_s=10.0, joins_burst=5, slow_start_s=30.0)
A, B, C, D = map(HandlerId, "abcd")


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 40)), max_size=60), st.sampled_from([0.0, 1.7e9]))
def test_no_window_has_more_clients_than_the_burst_and_the_rate_allow(
    tries: list[tuple[float, float]], now: float
) -> None:
    """I10, for any pauses and ages."""
    throttle, ready_at, joins = Throttle(POOL), NEVER, list[float]()
    throttle.put(A, NEVER)
    throttle.put(B, now)
    for pause_s, age_s in tries:
        now += pause_s / 10
        if ready_at <= now:
            ready_at = throttle.after_one_more(ready_at, now - age_s, now)
            joins.append(now)
        assert (throttle.tokens(ready_at, now - age_s, now) >= 1) is (ready_at <= now)
    for first, start in enumerate(joins):
        for last, end in enumerate(joins[first:], start=first):
            assert last - first + 1 <= POOL.joins_burst + POOL.joins_per_s * (end - start) + 2 * SLACK


@pytest.mark.parametrize("now", [0.0, 1.7e9 + 0.123])
def test_a_full_bucket_has_its_burst_to_the_last_client(now: float) -> None:
    throttle, ready_at, joins = Throttle(POOL), NEVER, 0
    assert throttle.tokens(ready_at, NEVER, now) == pytest.approx(5.0, abs=0.02)
    while ready_at <= now:
        ready_at = throttle.after_one_more(ready_at, NEVER, now)
        joins += 1
    assert joins == 5
    assert 0 <= throttle.tokens(ready_at, NEVER, now) < 1
    assert ready_at - now == pytest.approx(0.1, abs=0.01)


def test_a_new_process_comes_up_to_its_rate() -> None:
    fleet = Throttle(POOL)
    for name in (A, B, C):
        fleet.put(name, NEVER)
    fleet.put(D, 100.0)
    assert [fleet.rate(100.0, now) for now in (100.0, 101.0, 115.0, 130.0)] == [1.0, 1.0, 5.0, 10.0]
    assert fleet.rate(NEVER, 100.0) == 10.0
    assert (fleet.new_share(100.0), fleet.new_share(130.0)) == (0.25, 0.0)
    assert fleet.fleet_rate(4, 100.0) == 35.0
    assert fleet.fleet_rate(4, 130.0) == 40.0
    assert repr(fleet) == "<Throttle: 4 open>"


def test_nobody_starts_slowly_while_most_are_new() -> None:
    fleet = Throttle(POOL)
    fleet.put(A, NEVER)
    fleet.put(B, 0.0)
    assert fleet.rate(0.0, 0.0) == 1.0
    fleet.put(C, 0.0)
    assert fleet.rate(0.0, 0.0) == 10.0
    fleet.remove(C)
    fleet.remove(C)
    assert fleet.rate(0.0, 0.0) == 1.0
    fleet.put(B, 40.0)  # started again
    assert fleet.new_share(41.0) == 0.5
    fleet.remove(A)
    assert fleet.new_share(41.0) == 0.0


def test_without_a_slow_start_a_new_process_is_as_any_other() -> None:
    fleet = Throttle(replace(POOL, slow_start_s=0.0))
    fleet.put(A, NEVER)
    fleet.put(B, 7.0)
    assert fleet.rate(7.0, 7.0) == 10.0


def test_the_longest_wait_is_that_of_the_newest() -> None:
    assert longest_wait_s(POOL) == 1.0
