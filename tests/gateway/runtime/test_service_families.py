"""The series of services, as a scrape shows them."""

from dataclasses import replace

from balancer.circuit import State
from balancer.eligibility import InstanceState
from balancer.outlier import Reason
from balancer.service import ServiceState
from gateway.runtime.live_state import LiveState
from gateway.service_views import ServiceView
from registry.model import (
    Health,
    Instance,
    InstanceId,
    Quarantined,
    ServiceName,
    ServiceSnapshot,
    Source,
    Status,
    Verdict,
    snapshot,
)
from tests.gateway.runtime.scrapes import samples_of

AUTH = ServiceName("auth")
A, B = (
    Instance(InstanceId(name), AUTH, "10.0.0.1", port, "10.0.0.1", verdict=verdict)
    for name, port, verdict in (("a", 1, Verdict.UP), ("b", 2, Verdict.DOWN))
)
C = Instance(InstanceId("c"), AUTH, "10.0.0.1", 3, "10.0.0.1", health=Health.CRITICAL, suspect=True)


def known(*instances: Instance) -> ServiceSnapshot:
    left_out = Quarantined("bad", AUTH, "bad_port", "port 0")
    return snapshot(AUTH, Status.KNOWN, instances=instances, quarantined=(left_out,), answered_at=10.0)


CALLED = ServiceView(
    known(A, B, C),
    active={A.id: 3},
    states={
        A.id: InstanceState(A.id, None, 0.0, 0.5, 0),
        B.id: InstanceState(B.id, Reason.SERVER_ERRORS, 1.5, 0.0, 2),
        C.id: InstanceState(C.id, None, 0.0, 1.0, 0),
    },
    panic=True,
    ejected={"server_errors": 2, "self": 0},
    calls=ServiceState(AUTH, State.OPEN, in_flight=5, queued=6, limit=7, retrying=8),
)


def found(view: ServiceView) -> dict[str, float]:
    """The series of one service, without the common part of their names."""
    series = samples_of(LiveState(now=12.5, services=[view]))
    return {
        name.removeprefix("quaymaster_"): value
        for name, value in series.items()
        if 'service="auth"' in name and value
    }


def test_a_service_that_was_never_called_is_what_the_registry_says() -> None:
    assert found(ServiceView(known(A, B, C))) == {
        'instances{health="passing",service="auth"}': 2,
        'instances{health="suspect",service="auth"}': 1,
        'instances_usable{service="auth"}': 2,
        'instances_checked{service="auth",verdict="up"}': 1,
        'instances_checked{service="auth",verdict="down"}': 1,
        'instances_quarantined{reason="bad_port",service="auth"}': 1,
        'discovery_age_seconds{service="auth"}': 2.5,
        'discovery_source{service="auth",source="registry"}': 1,
    }


def test_that_nobody_is_usable_is_a_series_too() -> None:
    """An alert on what is not there would never fire."""
    nobody = samples_of(LiveState(now=12.5, services=[ServiceView(known(B), active={})]))
    assert nobody['quaymaster_instances_usable{service="auth"}'] == 0


def test_one_that_is_called_is_judged_by_its_calls_too() -> None:
    told = found(CALLED)
    assert (
        told.items()
        >= {
            'ejections_total{reason="server_errors",service="auth"}': 2,
            'instances_aside{reason="server_errors",service="auth"}': 1,
            'service_panic{service="auth"}': 1,
            'instance_weight{instance="a",service="auth"}': 0.5,
            'upstream_in_flight{instance="a",service="auth"}': 3,
            'circuit{service="auth",state="open"}': 1,
            'service_calls{service="auth",state="in_flight"}': 5,
            'service_calls{service="auth",state="queued"}': 6,
            'service_calls{service="auth",state="retrying"}': 8,
            'service_limit{service="auth"}': 7,
        }.items()
    )
    assert not any("closed" in name for name in told)


def test_only_weights_that_are_not_the_registered_ones_have_a_series() -> None:
    """Of ten thousand instances those of a calm service would take half of a scrape's time."""
    assert CALLED.states[C.id].weight == C.weight
    assert {name for name in found(CALLED) if "weight" in name} == {
        'instance_weight{instance="a",service="auth"}'
    }
    zero = samples_of(LiveState(now=0.0, services=[CALLED]))
    assert zero['quaymaster_instance_weight{instance="b",service="auth"}'] == 0


def test_what_has_no_limit_shows_none() -> None:
    assert CALLED.calls is not None
    unlimited = replace(CALLED, calls=replace(CALLED.calls, limit=None))
    assert not any("service_limit" in name for name in found(unlimited))


def test_a_view_from_the_disk_is_called_that() -> None:
    from_disk = ServiceView(replace(known(A), source=Source.DISK))
    assert found(from_disk)['discovery_source{service="auth",source="disk"}'] == 1


def test_a_departed_instance_takes_its_series_with_it() -> None:
    assert any('instance="a"' in name for name in found(CALLED))
    assert not any("instance=" in name for name in found(replace(CALLED, active={}, states={})))
