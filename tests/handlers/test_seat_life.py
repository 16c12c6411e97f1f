"""The table is the design: total where it should be, closed everywhere else."""

import pytest

from handlers.seat_life import LIFE, OVER, UNCONFIRMED, ImpossibleStep, SeatEvent, SeatState, step


@pytest.mark.parametrize("state", SeatState)
@pytest.mark.parametrize("event", SeatEvent)
def test_every_pair_is_in_the_table_or_raises(state: SeatState, event: SeatEvent) -> None:
    if (state, event) in LIFE:
        assert step(state, event) is LIFE[state, event]
    else:
        with pytest.raises(ImpossibleStep, match=f"{state.value} can't {event.value}"):
            step(state, event)


def test_what_is_over_stays_over() -> None:
    assert not [pair for pair in LIFE if pair[0] in OVER]


def test_every_live_state_can_end_and_every_state_can_be_reached() -> None:
    assert {before for before, event in LIFE if event is SeatEvent.LOSE} == set(SeatState) - OVER
    assert set(LIFE.values()) == set(SeatState)


def test_nothing_that_was_confirmed_is_held_again() -> None:
    """A connection is in its handler's own count; held as well, it would be counted twice."""
    assert not [pair for pair, after in LIFE.items() if pair[0] not in UNCONFIRMED and after in UNCONFIRMED]


def test_only_unconfirmed_seats_can_be_cancelled() -> None:
    assert {before for before, event in LIFE if event is SeatEvent.CANCEL} == UNCONFIRMED
