import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.advice import advise
from handlers.answers import Grant, HelloAnswer, Migration, ReportAnswer
from handlers.model import DrainOrder, HandlerId, Jti, PoolSettings
from handlers.ticket import HandlerKey


def granted(**changes: Any) -> Grant:
    advice = advise(1600, 200.0)
    grant = Grant(HandlerId("WSH1"), "http://host:8001", "/ws", "<jwt>", 60, 12, "s", advice, Jti("j"))
    return grant._replace(**changes)


def test_a_grant_is_the_answer_of_the_design() -> None:
    told = json.loads(granted().json())
    assert told == {
        "websocket_handler_url": "http://host:8001",
        "handler_id": "WSH1",
        "websocket_url": "ws://host:8001/ws",
        "ticket": "<jwt>",
        "ticket_expires_in": 60,
        "guaranteed_for": 12,
        "session_id": "s",
        "reconnect": {"first_ms": [0, 8000], "base_ms": 1000, "cap_ms": 30000, "jitter": "full"},
    }
    assert list(told)[:2] == ["websocket_handler_url", "handler_id"]


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_grant_is_json_whatever_a_handler_calls_itself(name: str, path: str) -> None:
    told = json.loads(granted(handler_id=HandlerId(name), path=path).json())
    assert (told["handler_id"], told["websocket_url"]) == (name, "ws://host:8001" + path)


def hello_answer(pool: PoolSettings) -> HelloAnswer:
    keys = HandlerKey("k1", b"\xff" * 32), HandlerKey("k0", b"\xfe" * 32)
    return HelloAnswer(keys[0], (keys[1],), "wsh:WSH1", "quaymaster", pool, advise(0, 200.0))


def test_the_answer_to_a_hello() -> None:
    body = hello_answer(PoolSettings(name="chat")).body(1e9)
    assert body["now"] == 1e9
    ticket = body["ticket"]
    assert isinstance(ticket, dict)
    assert urlsafe_b64decode(ticket.pop("key") + "=") == b"\xff" * 32
    assert ticket == {"kid": "k1", "algorithm": "HS256", "audience": "wsh:WSH1", "issuer": "quaymaster"}
    previous = body["previous"]
    assert isinstance(previous, list)
    assert [key["kid"] for key in previous] == ["k0"]
    assert (body["report_s"], body["dead_after_s"]) == (1.0, 3.0)
    assert body["pool"] == {"name": "chat", "guaranteed_s": 12.0, "ticket_s": 60.0}


@pytest.mark.parametrize(("dead_after_s", "report_s"), [(0.6, 0.2), (3.0, 1.0), (30.0, 1.0)])
def test_three_reports_may_get_lost(dead_after_s: float, report_s: float) -> None:
    body = hello_answer(PoolSettings(dead_after_s=dead_after_s)).body(1e9)
    assert body["report_s"] == pytest.approx(report_s)


def test_the_answer_to_a_report() -> None:
    advice = advise(0, 200.0)
    assert ReportAnswer(False, advice).body(1e9) == {
        "now": 1e9,
        "draining": False,
        "reconnect": advice.body(),
    }
    draining = ReportAnswer(
        True, advice, DrainOrder(27.4, 40.0), migrate=(Migration("s", "WSH2", "ws://h", "t"),)
    )
    assert draining.body(1e9) == {
        "now": 1e9,
        "draining": True,
        "reconnect": advice.body(),
        "drain": {"deadline_s": 27.4, "rate": 40.0},
        "migrate": [{"session_id": "s", "handler_id": "WSH2", "url": "ws://h", "ticket": "t"}],
    }
    assert ReportAnswer(False, advice, rebalance=5).body(1e9)["rebalance"] == 5
