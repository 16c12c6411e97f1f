"""What is believed of a gateway's answers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.drain_pace import MAX_MOVES
from handlers.heard import MAX_URL, Migration, Noted, introduced, noted
from handlers.model import DrainOrder, HandlerId

RIGHT: dict[str, Any] = {
    "ticket": {"kid": "k", "key": "A" * 43, "algorithm": "HS256", "issuer": "harbour"},
    "previous": [],
    "report_s": 1,
    "reconnect": {"jitter": "full"},
}
SEAT = {"session_id": "s", "handler_id": "WSH2", "url": "wss://h:1/ws", "ticket": "a.b.c"}


def test_an_introduction_brings_keys() -> None:
    told = introduced(RIGHT | {"previous": [RIGHT["ticket"] | {"kid": "older"}]})
    assert told is not None
    assert {kid: len(key) for kid, key in told.keys.items()} == {"k": 32, "older": 32}
    assert (told.issuer, told.report_s, told.reconnect) == ("harbour", 1.0, {"jitter": "full"})
    assert "AAAA" not in repr(told)


@pytest.mark.parametrize(
    "change",
    [
        {"ticket": {"kid": "k", "key": "c2hvcnQ", "algorithm": "HS256"}},
        {"ticket": {"kid": "k", "key": "A" * 43, "algorithm": "none"}},
        {"ticket": "k"},
        {"previous": None},
        {"report_s": 0},
        {"report_s": 1e9},
        {"reconnect": 7},
        {"now": "1795229092"},
        {"now": float("nan")},
        {"now": -1},
        {"now": True},
    ],
)
def test_an_introduction_is_checked(change: dict[str, Any]) -> None:
    assert introduced(RIGHT | change) is None


def test_both_answers_tell_what_time_it_is() -> None:
    hello, report = introduced(RIGHT | {"now": 7.5}), noted({"draining": False, "now": 8})
    assert hello is not None
    assert report is not None
    assert (hello.now, report.now) == (7.5, 8.0)


def test_an_answer_to_a_report_may_be_short() -> None:
    assert noted({"draining": False}) == Noted(False, {})


def test_an_answer_to_a_report_says_what_is_wanted() -> None:
    told = noted(
        {
            "draining": True,
            "reconnect": {"first_ms": [0, 1000]},
            "drain": {"deadline_s": 27.4, "rate": 40.0},
            "rebalance": 5,
            "migrate": [SEAT],
        }
    )
    assert told == Noted(
        True,
        {"first_ms": [0, 1000]},
        DrainOrder(27.4, 40.0),
        5,
        (Migration("s", HandlerId("WSH2"), "wss://h:1/ws", "a.b.c"),),
    )
    assert "a.b.c" not in repr(told)  # whoever reads a log must not be able to use what is in it


def test_a_drain_needs_no_rate() -> None:
    told = noted({"draining": True, "drain": {"deadline_s": 0, "rate": None}})
    assert told is not None
    assert told.drain == DrainOrder(0.0, None)


@pytest.mark.parametrize(
    "change",
    [
        {"draining": None},
        {"reconnect": []},
        {"now": 1e300},
        {"now": []},
        {"rebalance": -1},
        {"rebalance": True},
        {"rebalance": 0.5},
        {"drain": 30},
        {"drain": {}},
        {"drain": {"deadline_s": -1}},
        {"drain": {"deadline_s": "30"}},
        {"drain": {"deadline_s": True}},
        {"drain": {"deadline_s": float("inf")}},
        {"drain": {"deadline_s": 30, "rate": -1}},
        {"migrate": None},
        {"migrate": ["s"]},
        {"migrate": [SEAT] * (MAX_MOVES + 1)},
        {"migrate": [SEAT | {"ticket": None}]},
        {"migrate": [SEAT | {"session_id": ""}]},
        {"migrate": [SEAT | {"url": "https://h:1/ws"}]},
        {"migrate": [SEAT | {"url": "ws://" + "h" * MAX_URL}]},
        {"migrate": [{name: SEAT[name] for name in ("session_id", "handler_id", "url")}]},
    ],
)
def test_an_answer_with_a_fault_is_not_half_believed(change: dict[str, Any]) -> None:
    assert noted({"draining": False} | change) is None


odd = st.sampled_from([None, True, -1, 0, 7, 1.5, float("nan"), "", "x", [], {}, [SEAT], ["x"], SEAT])
nested = (
    odd | st.dictionaries(st.sampled_from([*SEAT, "deadline_s", "rate"]), odd) | st.lists(odd, max_size=3)
)


@given(
    st.dictionaries(
        st.sampled_from(["draining", "reconnect", "drain", "rebalance", "migrate", "now"]), nested
    )
)
def test_no_answer_to_a_report_makes_it_raise(told: dict[str, Any]) -> None:
    noted({"draining": True} | told)


@given(st.dictionaries(st.sampled_from([*RIGHT, "now"]), nested))
def test_no_answer_to_a_hello_makes_it_raise(told: dict[str, Any]) -> None:
    introduced(RIGHT | told)
