from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.chat.frames import BadFrame, Delivered, Frame, Kind, Reason, Undelivered, read_frame


def test_a_message_is_read_and_passed_on() -> None:
    frame = read_frame('{"type": "message", "to": "bob", "text": "hi <b>there</b>", "id": "m1"}')
    assert frame == Frame(Kind.MESSAGE, "bob", "m1", "hi <b>there</b>")
    assert frame.passed_on("ann", "WSH1") == {
        "type": "message",
        "from": "ann",
        "handler": "WSH1",
        "id": "m1",
        "text": "hi <b>there</b>",
    }


@pytest.mark.parametrize("kind", ["hello", "typing", "bye"])
def test_signals_need_no_id_and_carry_no_text(kind: str) -> None:
    frame = read_frame(orjson.dumps({"type": kind, "to": "bob", "text": "smuggled"}).decode())
    assert frame == Frame(Kind(kind), "bob")
    assert frame.passed_on("ann", "WSH1") == {"type": kind, "from": "ann", "handler": "WSH1"}


MESSAGE = {"type": "message", "to": "bob", "text": "hi", "id": "m1"}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 3000, "not valid JSON"),
        ("[]", "must be a JSON object"),
        ("{}", "type: must be one of message, hello, typing, bye"),
        (MESSAGE | {"type": ["message"]}, "type: must be one of message, hello, typing, bye"),
        (MESSAGE | {"type": "welcome"}, "type: must be one of message, hello, typing, bye"),
        (MESSAGE | {"to": 7}, "to: must be a text"),
        (MESSAGE | {"to": ""}, "to: must have 1 to 64 characters"),
        (MESSAGE | {"to": "x" * 65}, "to: must have 1 to 64 characters"),
        (MESSAGE | {"text": None}, "text: must be a text"),
        (MESSAGE | {"text": ""}, "text: must have 1 to 2000 characters"),
        (MESSAGE | {"text": "x" * 2001}, "text: must have 1 to 2000 characters"),
        (MESSAGE | {"id": 1}, "id: must be a text"),
        ({"type": "hello", "to": "bob", "id": ["x"]}, "id: must be a text"),
    ],
)
def test_a_bad_frame_is_told_what_is_wrong(body: Any, problem: str) -> None:
    text = body if isinstance(body, str) else orjson.dumps(body).decode()
    assert read_frame(text) == BadFrame(problem)
    assert BadFrame(problem).answer() == {"type": "error", "reason": "bad_frame", "message": problem}


@given(
    st.text()
    | st.dictionaries(st.text(), st.text() | st.integers()).map(
        lambda d: (
            orjson.dumps(d).decode() if all(abs(v) < 2**63 for v in d.values() if isinstance(v, int)) else ""
        )
    )
)
def test_no_text_breaks_the_reader(text: str) -> None:
    assert isinstance(read_frame(text), Frame | BadFrame)


def test_the_sender_is_told() -> None:
    assert Delivered("WSH2").answer("m1") == {"type": "delivered", "id": "m1", "handler": "WSH2"}
    assert Undelivered(Reason.OFFLINE).answer("m1") == {
        "type": "undelivered",
        "id": "m1",
        "reason": "offline",
    }
