import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.seat_waiting import FIRST_PAUSE_S, LONGEST_PAUSE_S, pause_before
from handlers.model import SeatRefusal

ASKS_AGAIN = (SeatRefusal.NO_CAPACITY, SeatRefusal.NO_HANDLERS)


def test_an_appointment_is_waited_for_as_long_as_it_takes() -> None:
    assert pause_before(SeatRefusal.COME_BACK, 3.2, 1, 5.0, 0.5) == 3.2
    assert pause_before(SeatRefusal.COME_BACK, 0.0, 7, 5.0, 0.5) == 0.0


def test_one_that_is_too_late_is_told_at_once() -> None:
    assert pause_before(SeatRefusal.COME_BACK, 5.1, 1, 5.0, 0.5) is None


def test_nobody_waits_for_what_waiting_does_not_mend() -> None:
    assert pause_before(SeatRefusal.RATE_LIMITED, 0.1, 1, 5.0, 0.5) is None


@pytest.mark.parametrize("reason", ASKS_AGAIN)
def test_others_ask_less_and_less_often(reason: SeatRefusal) -> None:
    pauses = [pause_before(reason, 30.0, tries, 100.0, 1.0) for tries in range(1, 50)]
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S


@pytest.mark.parametrize("reason", ASKS_AGAIN)
def test_the_last_time_they_ask_is_when_their_time_is_over(reason: SeatRefusal) -> None:
    assert pause_before(reason, 30.0, 9, 0.05, 1.0) == 0.05
    assert pause_before(reason, 30.0, 10, 0.0, 1.0) is None
    assert pause_before(reason, 30.0, 10, -0.1, 1.0) is None


@given(
    st.sampled_from(SeatRefusal), st.floats(0, 100), st.integers(1, 1000), st.floats(-1, 10), st.floats(0, 1)
)
def test_nobody_waits_beyond_their_time(
    reason: SeatRefusal, after_s: float, tries: int, left_s: float, chance: float
) -> None:
    pause_s = pause_before(reason, after_s, tries, left_s, chance)
    assert pause_s is None or 0 <= pause_s <= left_s
