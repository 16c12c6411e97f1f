import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.presented import holds_ticket, in_frame, in_handshake, split


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
    ("frame", "ticket"),
    [
        ('{"type":"auth","ticket":"a.b.c"}', "a.b.c"),
        ('{"type":"auth"}', None),
        ('{"type":"auth","ticket":7}', None),
        ('{"type":"chat","ticket":"a.b.c"}', None),
        ('["auth"]', None),
        ("a.b.c", None),
        ("", None),
    ],
)
def test_a_first_frame_is_a_ticket_or_nothing(frame: str, ticket: str | None) -> None:
    assert in_frame(frame) == ticket


@given(st.text(), st.text())
def test_no_text_makes_it_raise(protocols: str, frame: str) -> None:
    in_handshake(protocols, None)
    in_frame(frame)
    assert any(map(holds_ticket, split(protocols))) == (in_handshake(protocols, None) is not None)
