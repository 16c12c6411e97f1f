"""The described answers are those that are given, down to the last field."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from gateway.errors import Reason, encode, from_come_back, gateway_error
from gateway.handler_states import decision_body, drain_body, gone_body, handler_body
from gateway.health import Part, Wellness, health_body
from gateway.health_probes import Found, ProbeState
from gateway.openapi_answers import (
    Decision,
    Drain,
    Error,
    Handler,
    Health,
    HelloTold,
    Peers,
    ProbeDetail,
    ReportTold,
    Seat,
    ServiceDetail,
    SettingsInForce,
)
from gateway.peer_answers import peer_body
from gateway.reloading import ReloadLedger
from gateway.service_views import ServiceView, service_body
from handlers import model
from handlers.advice import advise
from handlers.answers import ComeBack, Grant, HelloAnswer, Migration, ReportAnswer
from handlers.ticket import HandlerKey
from registry.model import ServiceName, Status, snapshot
from tests.balancer.origins import instance_at
from tests.gateway.test_handler_states import LEAVING, UP

NOW = "2026-01-01T00:00:00.000Z"
ADVICE = advise(10, 100.0)


def holds(described: type[BaseModel], body: object) -> None:
    """Raises `AssertionError` for a body that is not as described, down to the last field."""
    said = json.loads(body) if isinstance(body, bytes) else json.loads(json.dumps(body))
    shown = described.model_validate(said).model_dump(exclude_unset=True)
    assert shown == said, "there is a field that nobody has described"


def error_of(reason: Reason) -> bytes:
    return encode(gateway_error(reason), "request-1", NOW)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_error(reason: Reason) -> None:
    holds(Error, error_of(reason))


def test_an_appointment() -> None:
    holds(Error, encode(from_come_back(ComeBack(1.0, "queue-token", 1_800_000)), "request-1", NOW))


def test_what_is_described_is_more_than_anything() -> None:
    said: dict[str, Any] = json.loads(error_of(Reason.BAD_PATH))
    for wrong in ({"reason": "because"}, {"message": None}):
        with pytest.raises(ValidationError):
            Error.model_validate(said | wrong)
    with pytest.raises(AssertionError):
        holds(Error, said | {"detail": "more"})


@pytest.mark.parametrize("detail", ["full", "brief", "none"])
@pytest.mark.parametrize("environment", ["test", None])
def test_health(detail: Any, environment: str | None) -> None:
    parts: Mapping[str, Part] = {
        "auth": Part(Wellness.HEALTHY, up=True, response_s=0.1),
        "db": Part(Wellness.UNHEALTHY, up=False),
    }
    body = health_body(Wellness.DEGRADED, parts, detail, timestamp=NOW, version="1", environment=environment)
    holds(Health, body)


def test_health_in_detail() -> None:
    instances = (instance_at(9, "a"), instance_at(10, "b"))
    found = snapshot(ServiceName("auth"), Status.KNOWN, instances=instances, answered_at=1.0)
    holds(ServiceDetail, service_body(ServiceView(found), 2.0))
    new = ProbeState("db", "postgres")
    holds(ProbeDetail, new.body(2.0))
    holds(ProbeDetail, new.after(Found.STARTING, 0.1, 1.0).body(2.0))
    holds(SettingsInForce, ReloadLedger(NOW).body())


@pytest.mark.parametrize("state", [UP, LEAVING])
def test_handlers_and_their_drains(state: model.HandlerState) -> None:
    holds(Handler, handler_body("default", state))
    holds(Drain, drain_body(state))
    holds(Drain, gone_body("WSH1"))


def test_a_decision() -> None:
    candidate = model.Candidate(model.HandlerId("WSH1"), 3, 1, 4)
    decision = model.Decision(7, 1.5, model.Uid("ada"), candidate.handler, "affinity", (candidate,))
    holds(Decision, decision_body("default", decision))


def test_peers() -> None:
    holds(Peers, peer_body(instance_at(9, "a"), [instance_at(10, "b")], 10))


def test_a_seat() -> None:
    handler = model.HandlerId("WSH1")
    holds(Seat, Grant(handler, "http://h:1", "/ws", "t", 60, 12, "s", ADVICE, model.Jti("j")).json())


def test_what_handler_processes_are_told() -> None:
    key = HandlerKey("k", b"secret")
    hello = HelloAnswer(key, (key,), "aud", "iss", model.PoolSettings(), ADVICE)
    holds(HelloTold, hello.body(1.0))
    holds(ReportTold, ReportAnswer(draining=False, advice=ADVICE).body(1.0))
    move = Migration("s", model.HandlerId("WSH2"), "ws://h", "t")
    drain = model.DrainOrder(20.0, None)
    told = ReportAnswer(draining=True, advice=ADVICE, drain=drain, rebalance=2, migrate=(move,))
    holds(ReportTold, told.body(1.0))
