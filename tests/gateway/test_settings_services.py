"""Sections about services: what they refuse, and the policies that they stand for."""

from typing import Any

import pytest
from pydantic import ValidationError

from balancer.policy import CircuitPolicy
from gateway.settings_services import HashSettings, HealthCheckSettings, ServiceSettings
from registry.health_checks import HealthCheckPolicy


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"ejection": {"max_percent": 101}}, "max_percent"),
        ({"ejection": {"success_rate": 1.5}}, "success_rate"),
        ({"ejection": {"base_s": 0}}, "base_s"),
        ({"circuit": {"failure_ratio": 0}}, "failure_ratio"),
        ({"circuit": {"probes": 0}}, "probes"),
        ({"concurrency": {"service": 0}}, "service"),
        ({"concurrency": {"queue": -1}}, "queue"),
        ({"retry_budget": {"percent": 1001}}, "percent"),
        ({"hash": {"by": "header"}}, "name"),
        ({"hash": {"by": "cookie", "name": ""}}, "name"),
        ({"hash": {"by": "uid", "name": "x"}}, "name"),
        ({"hash": {"balance": 0.9}}, "balance"),
        ({"health_check": {"path": "health"}}, "path"),
        ({"health_check": {"path": "/a b"}}, "path"),
        ({"health_check": {"statuses": ["20"]}}, "statuses"),
        ({"health_check": {"statuses": ["299-200"]}}, "statuses"),
        ({"health_check": {"kind": "icmp"}}, "kind"),
        ({"zone_room": 0}, "zone_room"),
        ({"ejection": {"base_s": 5, "max_s": 4}}, "shorter than base_s"),
        ({"concurrency": {"service": 2, "instance": 3}}, "more than service"),
        ({"concurrency": {"queue": 7}}, "queue can have no effect"),
        ({"concurrency": {"wait_s": 7, "queue": 0}}, "queue and wait_s can have no effect"),
        ({"health_check": {"kind": "tcp", "path": "/up"}}, "path"),
        ({"health_check": {"kind": "tcp", "statuses": [204]}}, "statuses"),
        ({"health_check": {"kind": "tcp", "expect_headers": {"X-Id": "{id}"}}}, "expect_headers"),
        *(
            ({"health_check": {"expect_headers": {"X-Id": text}}}, "the value of X-Id can't be in an answer")
            for text in (" a", "a ", "a\nb", "a\r\n")
        ),
        ({"strategy": "round_robin", "hash": {"by": "uid"}}, "is for strategy: rendezvous"),
    ],
)
def test_what_can_not_be_meant_is_refused(values: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ServiceSettings.model_validate(values)
    assert key in str(refused.value)


@pytest.mark.parametrize(
    "values",
    [
        {"ejection": {"base_s": 5, "max_s": 5}},
        {"concurrency": {"service": 3, "instance": 3, "queue": 0}},
        {"concurrency": {"instance": 3, "wait_s": 7}},
        {"concurrency": {"adaptive": True, "queue": 7}},
        {"health_check": {"kind": "tcp", "interval_s": 1}},
        {"strategy": "round_robin", "hash": {"by": "address", "balance": 1.25}},
    ],
)
def test_what_can_be_meant_is_taken(values: dict[str, Any]) -> None:
    ServiceSettings.model_validate(values)


def test_a_health_check_is_what_the_registry_wants() -> None:
    settings = HealthCheckSettings.model_validate(
        {"statuses": [204, "200-299"], "expect_headers": {"X-Instance": "{id}"}, "down": 1}
    )
    assert settings.policy() == HealthCheckPolicy(
        down=1, statuses=((204, 204), (200, 299)), expect_headers={"X-Instance": "{id}"}
    )
    assert HealthCheckSettings().policy() == HealthCheckPolicy()


def test_a_breaker_is_off_until_it_is_written_down() -> None:
    assert ServiceSettings().policy("").circuit is None
    assert ServiceSettings.model_validate({"circuit": {}}).policy("").circuit == CircuitPolicy()


def test_a_policy_knows_the_gateways_zone() -> None:
    recognised = ServiceSettings(zone_room=3).model_copy(
        update={"hash": HashSettings(by="header", name="X-Room")}
    )
    policy = recognised.policy("east")
    assert (policy.zone, policy.zone_room, policy.hashing.name) == ("east", 3, "X-Room")
