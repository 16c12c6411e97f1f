"""What /health says, by what is known."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from balancer.circuit import State as Circuit
from gateway.health import Part, Wellness, health_body, overall, probe_part, service_part
from gateway.health_probes import Found, ProbeState
from registry.model import Health, ServiceName, ServiceSnapshot, Status, snapshot
from tests.balancer.origins import instance_at

HEALTHY, DEGRADED, UNHEALTHY = Wellness
WELL, ILL = Part(HEALTHY, up=True, response_s=0.0234567), Part(UNHEALTHY, up=False)


def service_of(*healths: Health) -> ServiceSnapshot:
    instances = (replace(instance_at(n + 1, f"i{n}"), health=health) for n, health in enumerate(healths))
    return snapshot(ServiceName("auth"), Status.KNOWN, instances=tuple(instances))


def test_a_service_is_well_as_long_as_one_instance_is() -> None:
    assert service_part(service_of(Health.CRITICAL, Health.PASSING)).wellness is HEALTHY
    assert service_part(service_of(Health.WARNING)).wellness is HEALTHY
    assert service_part(service_of(Health.CRITICAL, Health.MAINTENANCE)).wellness is UNHEALTHY
    assert service_part(service_of()).wellness is UNHEALTHY


@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.UNREACHABLE])
def test_a_service_that_nobody_knows_is_not_well(status: Status) -> None:
    assert service_part(snapshot(ServiceName("auth"), status)) == ILL


@pytest.mark.parametrize(
    ("circuit", "panic", "wellness"),
    [
        (Circuit.CLOSED, False, HEALTHY),
        (Circuit.CLOSED, True, DEGRADED),
        (Circuit.HALF_OPEN, False, DEGRADED),
        (Circuit.OPEN, False, UNHEALTHY),
        (Circuit.OPEN, True, UNHEALTHY),
    ],
)
def test_how_calls_go_counts_too(circuit: Circuit, panic: bool, wellness: Wellness) -> None:
    found = service_part(service_of(Health.PASSING), circuit=circuit, panic=panic, response_s=0.1)
    assert (found.wellness, found.up) == (wellness, wellness is not UNHEALTHY)
    assert found.response_s == (0.1 if found.up else None)


def test_a_service_all_of_whose_instances_failed_is_not_well_whatever_the_registry_says() -> None:
    found = service_part(service_of(Health.PASSING), panic=True, all_aside=True, response_s=0.1)
    assert found == ILL


def test_a_probe_is_up_down_or_not_known_yet() -> None:
    new = ProbeState("db", "postgres", required=True)
    up = new.after(Found.UP, 0.25, 1.0)
    assert probe_part(up) == Part(HEALTHY, up=True, response_s=0.25, required=True)
    assert probe_part(new) == Part(DEGRADED, up=False, required=True)
    assert probe_part(new.after(Found.STARTING, 0.25, 1.0)) == Part(UNHEALTHY, up=False, required=True)


def wellness_of(
    services: list[Part], probes: list[Part], *, ready: bool = True, registry_away: bool = False
) -> Wellness:
    return overall(services, probes, ready=ready, registry_away=registry_away)


def test_everything_well_is_healthy_and_so_is_a_gateway_without_anything() -> None:
    assert wellness_of([WELL, WELL], [WELL]) is HEALTHY
    assert wellness_of([], []) is HEALTHY


def test_what_is_not_well_degrades() -> None:
    assert wellness_of([WELL, ILL], []) is DEGRADED
    assert wellness_of([WELL], [ILL]) is DEGRADED
    assert wellness_of([WELL], [], ready=False) is DEGRADED
    assert wellness_of([WELL], [], registry_away=True) is DEGRADED


def test_no_service_at_all_or_no_dependency_that_is_required_is_unhealthy() -> None:
    assert wellness_of([ILL, ILL], [WELL]) is UNHEALTHY
    assert wellness_of([WELL], [Part(UNHEALTHY, up=False, required=True)]) is UNHEALTHY
    assert wellness_of([WELL], [Part(DEGRADED, up=False, required=True)]) is DEGRADED, "not asked yet"


@pytest.mark.parametrize(("ready", "away"), list(product([True, False], repeat=2)))
def test_only_what_serves_counts_as_more_than_unhealthy(ready: bool, away: bool) -> None:
    assert wellness_of([ILL], [WELL], ready=ready, registry_away=away) is UNHEALTHY


ABOUT: dict[str, Any] = {"timestamp": "2026-02-08T18:30:00.000Z", "version": "1.0.0", "environment": None}


def test_the_body_in_full_is_that_of_the_marketplaces_gateway() -> None:
    body = health_body(DEGRADED, {"user-service": WELL, "redis": ILL}, "full", **ABOUT)
    assert list(body.items()) == [
        ("status", "degraded"),
        ("timestamp", "2026-02-08T18:30:00.000Z"),
        (
            "services",
            {
                "user-service": {"status": "healthy", "response_time": 0.023457},
                "redis": {"status": "unhealthy", "response_time": None},
            },
        ),
        ("version", "1.0.0"),
    ]


def test_the_brief_body_is_that_of_the_companions_gateway() -> None:
    about = ABOUT | {"environment": "development"}
    assert health_body(HEALTHY, {"postgres": WELL, "redis": ILL}, "brief", **about) == {
        "status": "healthy",
        "timestamp": "2026-02-08T18:30:00.000Z",
        "services": {"postgres": "up", "redis": "down"},
        "version": "1.0.0",
        "environment": "development",
    }


def test_names_can_be_kept_to_oneself() -> None:
    assert "services" not in health_body(HEALTHY, {"postgres": WELL}, "none", **ABOUT)
