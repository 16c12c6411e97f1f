import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers import control_frames
from handlers.heard import Migration
from handlers.model import HandlerId


def advice(first_ms: object) -> dict[str, Any]:
    return {"first_ms": first_ms, "base_ms": 1000, "cap_ms": 30000, "jitter": "full"}


def test_the_frames_are_the_published_ones() -> None:
    seat = Migration("s", HandlerId("WSH2"), "ws://h:2/ws", "a.b.c")
    assert json.loads(control_frames.welcome(HandlerId("WSH1"), "s")) == {
        "type": "welcome",
        "handler_id": "WSH1",
        "session_id": "s",
    }
    assert json.loads(control_frames.migrate(seat, 12.3456)) == {
        "type": "migrate",
        "url": "ws://h:2/ws",
        "ticket": "a.b.c",
        "handler_id": "WSH2",
        "deadline_ms": 12346,
    }
    assert json.loads(control_frames.advice(advice([0, 8000]))) == {
        "type": "advice",
        "reconnect": advice([0, 8000]),
    }


def test_a_deadline_that_is_over_is_now() -> None:
    seat = Migration("s", HandlerId("WSH2"), "ws://h:2/ws", "a.b.c")
    assert json.loads(control_frames.migrate(seat, -1.0))["deadline_ms"] == 0


@pytest.mark.parametrize(
    ("held", "new", "told"),
    [
        ([0, 1000], [0, 1000], False),
        ([0, 1000], [0, 1999], False),
        ([0, 1000], [0, 2000], True),
        ([0, 1000], [0, 501], False),
        ([0, 1000], [0, 500], True),
        ([0, 0], [0, 0], False),
        ([0, 0], [0, 1], True),
        (None, [0, 1000], True),
        ([0, 1000], None, False),
        ([0, 1000], [0, -1], False),
        ([0, 1000], [1000], False),
        ([0, 1000], [0, "2000"], False),
        ([0, 1000], 2000, False),
    ],
)
def test_clients_hear_of_advice_that_has_doubled_or_halved(held: object, new: object, told: bool) -> None:
    assert control_frames.worth_telling(advice(held), advice(new)) is told


@given(
    st.dictionaries(st.just("first_ms"), st.lists(st.integers() | st.floats() | st.none() | st.booleans()))
)
def test_no_advice_makes_it_raise(reconnect: dict[str, Any]) -> None:
    control_frames.worth_telling(advice([0, 1000]), reconnect)
    assert not control_frames.worth_telling(reconnect, reconnect)
