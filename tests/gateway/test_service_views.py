"""One service in `/health/detailed`."""

import orjson

from balancer.circuit import State
from balancer.eligibility import InstanceState
from balancer.outlier import Reason
from balancer.service import ServiceState
from gateway.service_views import ServiceView, service_body
from registry.model import (
    Health,
    Instance,
    InstanceId,
    Quarantined,
    ServiceName,
    ServiceSnapshot,
    Status,
    Verdict,
    snapshot,
)

AUTH = ServiceName("auth")
A = Instance(InstanceId("a"), AUTH, "10.0.0.1", 80, "10.0.0.1", weight=4, zone="east", verdict=Verdict.UP)
B = Instance(InstanceId("b"), AUTH, "10.0.0.2", 80, "10.0.0.2", health=Health.CRITICAL)


def known() -> ServiceSnapshot:
    left_out = Quarantined("bad", AUTH, "bad_port", "port 0")
    return snapshot(
        AUTH,
        Status.KNOWN,
        instances=(A, B),
        quarantined=(left_out,),
        answered_at=10.0,
        failure="unreachable",
        note="no_leader",
    )


def test_a_service_that_was_never_called_is_shown_as_the_registry_tells_it() -> None:
    assert service_body(ServiceView(known()), 12.3456) == {
        "status": "known",
        "source": "registry",
        "age_s": 2.346,
        "failure": "unreachable",
        "note": "no_leader",
        "panic": False,
        "circuit": "closed",
        "in_flight": 0,
        "queued": 0,
        "limit": None,
        "retrying": 0,
        "ejected": {},
        "checks_failed": {},
        "retries_refused": 0,
        "hedges": {},
        "reports": {},
        "instances": [
            {
                "id": "a",
                "url": "http://10.0.0.1:80",
                "health": "passing",
                "suspect": False,
                "verdict": "up",
                "zone": "east",
                "weight": 4,
                "weight_now": 4.0,
                "active": 0,
                "aside": False,
                "aside_reason": None,
                "aside_for_s": 0.0,
                "ejections": 0,
            },
            {
                "id": "b",
                "url": "http://10.0.0.2:80",
                "health": "critical",
                "suspect": False,
                "verdict": "unchecked",
                "zone": "",
                "weight": 1,
                "weight_now": 1.0,
                "active": 0,
                "aside": False,
                "aside_reason": None,
                "aside_for_s": 0.0,
                "ejections": 0,
            },
        ],
        "quarantined": [{"id": "bad", "reason": "bad_port", "detail": "port 0"}],
    }


def test_one_that_is_called_is_shown_with_what_its_calls_say() -> None:
    view = ServiceView(
        known(),
        active={A.id: 3},
        states={A.id: InstanceState(A.id, Reason.REPORTS, 1.23456, 0.4, 2)},
        panic=True,
        ejected={Reason.REPORTS: 2, Reason.SELF: 0},
        calls=ServiceState(AUTH, State.HALF_OPEN, in_flight=5, queued=6, limit=7, retrying=8),
        checks_failed={"status": 3},
        retries_refused=9,
        hedges={"won": 1},
        reports={"timeout": 4},
    )
    body = orjson.loads(orjson.dumps(service_body(view, 12.0)))
    plain = {name: value for name, value in body.items() if isinstance(value, str | int)}
    assert plain.items() >= {
        ("panic", True),
        ("circuit", "half_open"),
        ("in_flight", 5),
        ("queued", 6),
        ("limit", 7),
        ("retrying", 8),
        ("retries_refused", 9),
    }
    counted = ("ejected", "checks_failed", "hedges", "reports")
    assert [body[name] for name in counted] == [{"reports": 2}, {"status": 3}, {"won": 1}, {"timeout": 4}]
    instances = body["instances"]
    assert instances[0].items() >= {
        ("active", 3),
        ("weight_now", 0.4),
        ("aside", True),
        ("aside_reason", "reports"),
        ("aside_for_s", 1.235),
        ("ejections", 2),
    }
    assert instances[1]["aside"] is False


def test_before_the_first_answer_there_is_no_age() -> None:
    assert service_body(ServiceView(snapshot(AUTH, Status.UNREACHABLE)), 1.0)["age_s"] is None
