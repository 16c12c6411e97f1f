import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.model import HandlerId, Jti, Uid
from handlers.seat_life import LIFE, OVER, ImpossibleStep, SeatEvent, SeatState
from handlers.seats import NOBODY, SeatBook, SeatRecord

WSH1 = HandlerId("WSH1")


def seat(jti: str, uid: str = "ann", handler: HandlerId = WSH1) -> SeatRecord:
    return SeatRecord(Jti(jti), Uid(uid), handler, 1, 12.0, 15.0, 60.0)


def states(book: SeatBook) -> dict[str, SeatState]:
    return {record.jti: record.state for record in book}


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(SeatEvent))))
def test_the_indexes_agree_with_the_states_after_any_steps(steps: list[tuple[str, SeatEvent]]) -> None:
    book = SeatBook()
    for jti in "abcd":
        book.add(seat(jti, uid="ann" if jti < "c" else "bob"))
    for jti, event in steps:
        record = book.get(Jti(jti))
        if record is None:
            continue
        if (record.state, event) in LIFE:
            book.apply(record, event)
        else:
            before = repr(book), states(book)
            with pytest.raises(ImpossibleStep):
                book.apply(record, event)
            assert (repr(book), states(book)) == before
    live = list(book)
    assert not [record for record in live if record.state in OVER]
    by_state = {state: {r.jti for r in live if r.state is state} for state in SeatState}
    assert book.held(WSH1) == len(by_state[SeatState.RESERVED])
    assert {jti for jti in "abcd" if jti in book.holds} == by_state[SeatState.RESERVED]
    assert {jti for jti in "abcd" if jti in book.tickets} == by_state[SeatState.STANDBY]
    for uid in ("ann", "bob"):
        user = book.user(Uid(uid))
        own = [record for record in live if record.uid == uid]
        assert (user is None) == (not own)
        if user is not None:
            assert set(user.active) == {r.jti for r in own if r.state is SeatState.ACTIVE}
            assert set(user.unconfirmed) == {r.jti for r in own if r.state is not SeatState.ACTIVE}
    assert book.lose(WSH1) == len(live)
    assert repr(book) == "<SeatBook: 0 seats, 0 held, 0 users>"


def test_losing_a_handler_leaves_the_others_alone() -> None:
    book = SeatBook()
    other = HandlerId("WSH2")
    book.add(seat("a"))
    book.add(seat("b", handler=other))
    assert book.lose(WSH1) == 1
    assert book.held(other) == 1
    assert book.lose(WSH1) == 0


def test_a_seat_of_nobody_is_held_and_belongs_to_no_user() -> None:
    book = SeatBook()
    book.add(seat("a", uid=NOBODY))
    assert book.held(WSH1) == 1
    assert book.user(NOBODY) is None
