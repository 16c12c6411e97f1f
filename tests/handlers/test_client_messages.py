from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.client_messages import (
    LONGEST_S,
    Destination,
    ReconnectAdvice,
    read_advice,
    read_destination,
    read_move,
    with_seq,
)

HERE = Destination("WSH1", "ws://h1:8001/ws", "ticket", "s1")
SAFE = HERE._replace(url="wss://h1/ws")
GRANT = {
    "websocket_handler_url": "https://h1:8001",
    "handler_id": "WSH1",
    "websocket_url": "wss://h1:8001/chat",
    "ticket": "t",
    "session_id": "s1",
}
MIGRATE = {"type": "migrate", "url": "wss://h2/ws", "ticket": "t2", "handler_id": "WSH2", "deadline_ms": 3000}
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def test_a_grant_names_the_place_the_ticket_and_the_session() -> None:
    assert read_destination(GRANT) == Destination("WSH1", "wss://h1:8001/chat", "t", "s1")
    assert Destination("WSH1", "ws://h", "t", None).protocols == ("wst.v1", "wst.t")


def test_the_two_fields_of_the_plain_answer_are_enough() -> None:
    plain = {name: GRANT[name] for name in ("websocket_handler_url", "handler_id")}
    found = read_destination(plain)
    assert found == Destination("WSH1", "wss://h1:8001/ws", None, None)
    assert found.protocols == ()


@pytest.mark.parametrize(
    "change",
    [{"handler_id": None}, {"handler_id": 7}, {"websocket_url": "http://h"}, {"websocket_url": "ws://"},
     {"websocket_url": "ws://[h"}, {"websocket_url": 5}, {"websocket_url": "javascript:alert(1)"}],
)  # fmt: skip
def test_an_answer_that_names_no_place_is_none(change: dict[str, Any]) -> None:
    assert read_destination(GRANT | change) is None


def test_a_move_keeps_the_session() -> None:
    move = read_move(MIGRATE, SAFE)
    assert move is not None
    assert move.to == Destination("WSH2", "wss://h2/ws", "t2", "s1")
    assert move.within_s == 3


@pytest.mark.parametrize(
    ("here", "url", "follows"),
    [
        (SAFE, "wss://h2/ws", True),
        (SAFE, "ws://h2/ws", False),
        (SAFE, "WS://h2/ws", False),
        (HERE, "ws://h2/ws", True),
        (HERE, "wss://h2/ws", True),
        (HERE, "http://h2/ws", False),
        (HERE, "/ws", False),
        (HERE, "", False),
    ],
)
def test_an_encrypted_connection_is_never_given_up_for_an_open_one(
    here: Destination, url: str, follows: bool
) -> None:
    assert (read_move(MIGRATE | {"url": url}, here) is not None) is follows


@given(json, json, json, json)
def test_a_move_of_anything_is_a_move_or_none(url: Any, ticket: Any, handler: Any, deadline: Any) -> None:
    frame = {"url": url, "ticket": ticket, "handler_id": handler, "deadline_ms": deadline}
    move = read_move(frame, HERE)
    assert move is None or move.to.url.lower().startswith("ws")
    sound = read_move(MIGRATE | {"deadline_ms": deadline}, HERE)
    assert sound is not None
    assert 0 <= sound.within_s <= 8


def test_advice_is_taken_field_by_field() -> None:
    known = ReconnectAdvice((0, 2), 1, 30)
    assert read_advice({"first_ms": [0, 8000], "base_ms": 500, "cap_ms": 9000, "jitter": "full"}, known) == (
        ReconnectAdvice((0, 8), 0.5, 9)
    )
    assert read_advice({"first_ms": [0, "8000"], "base_ms": -1}, known) == known
    assert read_advice(None, known) == known


@given(json, json, json)
def test_whatever_the_advice_nobody_waits_for_long(first: Any, base: Any, cap: Any) -> None:
    told = read_advice({"first_ms": first, "base_ms": base, "cap_ms": cap}, ReconnectAdvice())
    for seconds in (*told.first_s, told.base_s, told.cap_s):
        assert 0 <= seconds <= LONGEST_S
    assert told.first_s[0] <= told.first_s[1]


@pytest.mark.parametrize(
    ("url", "seq", "expected"),
    [
        ("ws://h/ws", None, "ws://h/ws"),
        ("ws://h/ws", 41, "ws://h/ws?seq=41"),
        ("ws://h/ws?a=b", 0, "ws://h/ws?a=b&seq=0"),
    ],
)
def test_the_handler_is_told_the_last_number(url: str, seq: int | None, expected: str) -> None:
    assert with_seq(url, seq) == expected
