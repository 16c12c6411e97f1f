from hypothesis import given
from hypothesis import strategies as st

from handlers.awake_time import ASKED_S, STOOD_STILL_S, AwakeTime, awake_clock


def test_a_process_that_runs_has_the_time_of_all() -> None:
    awake = AwakeTime()
    assert [awake.at(now * ASKED_S) for now in range(5)] == [now * ASKED_S for now in range(5)]


def test_what_nobody_was_there_for_is_left_out() -> None:
    awake = AwakeTime()
    assert awake.at(50.0) == 50.0
    assert awake.at(57.0) == 50.0
    assert awake.at(58.0) == 51.0
    assert awake.at(60.0) == 51.0
    assert repr(awake) == "<AwakeTime: 9.000 s left out>"


@given(st.lists(st.integers(0, 40), min_size=1))
def test_it_runs_like_all_time_but_for_the_gaps(quarters: list[int]) -> None:
    awake, now = AwakeTime(), 1000.0
    before = awake.at(now)
    for step_s in (0.25 * quarter for quarter in quarters):  # which floats can add without an error
        now += step_s
        told = awake.at(now)
        assert told - before == (step_s if step_s < STOOD_STILL_S else 0.0)
        before = told


def test_each_clock_is_asked_for_itself() -> None:
    now = 100.0
    one, other = awake_clock(lambda: now), awake_clock(lambda: now)
    assert one() == other() == 100.0
    now = 101.0
    assert one() == 101.0
    now = 102.0
    assert one() == 102.0
    assert other() == 100.0
