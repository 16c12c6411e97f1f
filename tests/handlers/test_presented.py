import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.closing import Refusal, TurnedAway
from handlers.presented import (
    MAX_SEQUENCE,
    Shown,
    holds_ticket,
    in_frame,
    in_handshake,
    in_query,
    sequence,
    split,
)


@pytest.mark.parametrize(
    ("protocols", "query", "ticket"),
    [
        ("wst.v1, wst.a.b.c", None, "a.b.c"),
        ("wst.a.b.c,wst.v1", None, "a.b.c"),
        ("wst.v1", "q.q.q", "q.q.q"),
        ("wst.v1, wst.a.b.c", "q.q.q", "a.b.c"),
        ("chat", None, None),
        ("", None, None),
        ("", "", None),
    ],
)
def test_the_handshake_is_looked_through_before_the_query(
    protocols: str, query: str | None, ticket: str | None
) -> None:
    assert in_handshake(protocols, query) == ticket


@pytest.mark.parametrize(
    ("frame", "shown"),
    [
        ('{"type":"auth","ticket":"a.b.c"}', Shown("a.b.c")),
        ('{"type":"auth","ticket":"a.b.c","seq":41}', Shown("a.b.c", 41)),
        ('{"type":"auth","ticket":"a.b.c","seq":"x"}', Shown("a.b.c", "x")),
        ('{"type":"auth"}', None),
        ('{"type":"auth","ticket":7}', None),
        ('{"type":"chat","ticket":"a.b.c"}', None),
        ('["auth"]', None),
        ("a.b.c", None),
        ("", None),
    ],
)
def test_a_first_frame_is_a_ticket_or_nothing(frame: str, shown: Shown | None) -> None:
    assert in_frame(frame) == shown


@pytest.mark.parametrize(
    ("values", "seq"),
    [
        ([], None),
        (["0"], 0),
        (["41"], 41),
        ([str(MAX_SEQUENCE)], MAX_SEQUENCE),
    ],
)
def test_how_far_a_client_has_read_is_a_whole_number_or_unsaid(values: list[str], seq: int | None) -> None:
    assert sequence(in_query(values)) == seq


@pytest.mark.parametrize(
    "values",
    [[""], ["-1"], ["+1"], [" 1"], ["1.0"], ["1_0"], ["\u0661"], [str(2**53)], ["9" * 99], ["1", "1"]],
)
def test_a_number_that_is_none_is_refused_and_not_taken_for_the_beginning(values: list[str]) -> None:
    assert sequence(in_query(values)) == TurnedAway(Refusal.BAD_SEQUENCE)


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()))
def test_in_a_frame_only_a_whole_number_counts(shown: object) -> None:
    good = type(shown) is int and 0 <= shown <= MAX_SEQUENCE
    assert sequence(shown) == (shown if good or shown is None else TurnedAway(Refusal.BAD_SEQUENCE))


@given(st.text(), st.text())
def test_no_text_makes_it_raise(protocols: str, frame: str) -> None:
    in_handshake(protocols, None)
    in_frame(frame)
    assert any(map(holds_ticket, split(protocols))) == (in_handshake(protocols, None) is not None)
