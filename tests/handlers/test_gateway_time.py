import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.gateway_time import DRIFT, GatewayTime

UNIX = 1_700_000_000.0


def test_without_an_answer_nothing_is_known() -> None:
    assert GatewayTime().unix(5.0) is None


def test_the_answer_was_written_half_way() -> None:
    time = GatewayTime()
    time.told(UNIX, 10.0, 10.5)
    assert time.unix(20.25) == pytest.approx(UNIX + 10)
    assert repr(time) == f"<GatewayTime: offset {UNIX - 10.25:.3f} s, good to 0.250 s>"


def test_the_quickest_answer_is_believed() -> None:
    time = GatewayTime()
    time.told(UNIX, 10.0, 10.002)
    time.told(UNIX + 10.4, 20.0, 20.5)  # that took long on its way here
    assert time.unix(30.001) == pytest.approx(UNIX + 20)
    time.told(UNIX + 20.0005, 30.0, 30.001)
    assert time.unix(30.0005) == pytest.approx(UNIX + 20.0005)


def test_an_old_answer_gives_way_to_a_slower_one() -> None:
    time = GatewayTime()
    time.told(UNIX, 0.0, 0.002)
    later = 0.1 / DRIFT
    time.told(UNIX + later + 0.07, later, later + 0.1)
    assert time.unix(later + 0.05) == pytest.approx(UNIX + later + 0.07)


def test_a_clock_that_is_set_is_noticed_with_the_next_answer() -> None:
    time = GatewayTime()
    time.told(UNIX, 0.0, 0.001)
    time.told(UNIX + 3601, 1.0, 1.2)
    assert time.unix(1.1) == pytest.approx(UNIX + 3601)


delays = st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0))


@given(st.lists(delays, min_size=1, max_size=20))
def test_it_is_wrong_by_half_the_quickest_round_trip_at_most(answers: list[tuple[float, float]]) -> None:
    time, now = GatewayTime(), 0.0
    for there, back in answers:
        time.told(UNIX + now + there, now, now + there + back)
        now += 1 + there + back
    told = time.unix(now)
    assert told is not None
    drift = DRIFT * now
    assert abs(told - UNIX - now) <= min(map(sum, answers)) / 2 + drift + 1e-6
