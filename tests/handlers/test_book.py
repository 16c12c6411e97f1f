import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.book import AppointmentBook
from handlers.model import PoolSettings

POOL = PoolSettings(joins_per_s=10.0, horizon_s=4.0)


@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from([5.0, 10.0, 40.0])), max_size=100))
def test_slots_are_ones_own_in_order_and_never_beyond_the_horizon(calls: list[tuple[float, float]]) -> None:
    """I11."""
    book, now, last = AppointmentBook(POOL), 0.0, 0.0
    for pause_s, rate in calls:
        now += pause_s
        slot = book.appoint(now, rate)
        if slot is None:
            assert book.is_waited(now)
            continue
        assert slot > last
        assert now + 1 / POOL.joins_per_s < slot <= now + POOL.horizon_s
        assert book.keeps(slot, now)
        last = slot


def test_slots_are_as_far_apart_as_tokens_come() -> None:
    book = AppointmentBook(POOL)
    assert not book.is_waited(0.0)
    slots = [book.appoint(0.0, 40.0) for _ in range(156)]
    assert slots[:3] == pytest.approx([0.125, 0.15, 0.175])
    assert slots[-1] == pytest.approx(4.0)
    assert book.appoint(0.0, 40.0) is None
    assert book.is_waited(3.9)
    assert not book.is_waited(4.1)
    assert repr(book) == "<AppointmentBook: last slot 4, 0 used>"


def test_a_full_book_stays_where_it_is() -> None:
    """Who is turned away pays nothing: the book has a place again as soon as time has passed."""
    book = AppointmentBook(POOL)
    while book.appoint(0.0, 10.0) is not None:
        pass
    for _ in range(1000):
        assert book.appoint(0.0, 10.0) is None
    assert book.appoint(0.11, 10.0) == pytest.approx(4.0)


def test_a_slot_is_good_once_and_for_a_while() -> None:
    book = AppointmentBook(POOL)
    assert [book.keeps(slot, 100.0) for slot in (95.9, 96.1, 104.0, 104.1)] == [False, True, True, False]
    book.use(99.0, 100.0)
    assert not book.keeps(99.0, 100.0)
    assert book.keeps(98.0, 100.0)


def test_used_slots_are_remembered_only_while_they_would_be_good() -> None:
    book = AppointmentBook(POOL)
    for number in range(1000):
        now = number / 10
        book.use(now + (number % 3) / 100, now)
    assert repr(book) == "<AppointmentBook: last slot -inf, 41 used>"
