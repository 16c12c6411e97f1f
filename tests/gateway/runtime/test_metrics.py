from collections import Counter

from balancer.outcome import SUCCESS, Kind, Outcome, Phase, Side
from gateway.runtime.metrics import LiveState, Metrics
from handlers.model import Admin, HandlerId, HandlerState
from registry.model import (
    Health,
    Instance,
    InstanceId,
    Quarantined,
    ServiceName,
    ServiceSnapshot,
    Status,
    snapshot,
)
from registry.stats import WatchStats

AUTH = ServiceName("auth")


def instance(name: str, health: Health = Health.PASSING, *, suspect: bool = False) -> Instance:
    return Instance(InstanceId(name), AUTH, "10.0.0.1", 80, "10.0.0.1", health=health, suspect=suspect)


def known(*instances: Instance) -> ServiceSnapshot:
    left_out = Quarantined("bad", AUTH, "bad_port", "port 0")
    return snapshot(AUTH, Status.KNOWN, instances=instances, quarantined=(left_out,), answered_at=10.0)


def samples(metrics: Metrics, live: LiveState) -> dict[str, float]:
    lines = metrics.exposition(live).decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_counters_are_labelled_by_what_the_settings_name() -> None:
    metrics = Metrics("1.0")
    metrics.answered("/login", "POST", 200, 0.02)
    metrics.answered("none", "PROPFIND", 404, 0.001)
    metrics.tried(AUTH, instance("a"), SUCCESS, 200, 0.01)
    metrics.tried(AUTH, instance("a"), Outcome(Phase.CONNECT, Side.INSTANCE, Kind.REFUSED, False), None, 0.0)
    metrics.retried(AUTH, "connect_refused")
    metrics.refused("no_route")
    metrics.seat("reserved")
    found = samples(metrics, LiveState(now=0.0))
    assert found['quaymaster_requests_total{code="200",method="POST",route="/login"}'] == 1
    assert found['quaymaster_requests_total{code="404",method="other",route="none"}'] == 1
    assert found['quaymaster_upstream_requests_total{code="200",outcome="done_ok",service="auth"}'] == 1
    refused = 'quaymaster_upstream_requests_total{code="none",outcome="connect_refused",service="auth"}'
    assert found[refused] == 1
    assert found['quaymaster_retries_total{reason="connect_refused",service="auth"}'] == 1
    assert found['quaymaster_errors_total{reason="no_route"}'] == 1
    assert found['quaymaster_seats_total{result="reserved"}'] == 1
    assert found['quaymaster_build_info{version="1.0"}'] == 1
    assert found['quaymaster_request_duration_seconds_count{route="/login"}'] == 1
    assert not [name for name in found if "_created" in name]


def test_gauges_are_what_is_live_at_the_scrape() -> None:
    live = LiveState(
        now=12.5,
        snapshots=[known(instance("a"), instance("b"), instance("c", suspect=True))],
        active={AUTH: {"a": 3}},
        handlers=[
            HandlerState(HandlerId("WSH1"), "http://h", 1, 100, 7, 2, Admin.UP, True, "", 0.5),
            HandlerState(HandlerId("WSH2"), "http://i", 1, 100, 0, 0, Admin.UP, False, "silent", 9.0),
        ],
        watch=WatchStats((), 1.0, {"unreachable": 4}, 2, 1),
    )
    found = samples(Metrics("1.0"), live)
    assert found['quaymaster_instances{health="passing",service="auth"}'] == 2
    assert found['quaymaster_instances{health="suspect",service="auth"}'] == 1
    assert found['quaymaster_instances_quarantined{reason="bad_port",service="auth"}'] == 1
    assert found['quaymaster_discovery_age_seconds{service="auth"}'] == 2.5
    assert found['quaymaster_upstream_in_flight{instance="a",service="auth"}'] == 3
    assert found['quaymaster_handler_connections{handler="WSH1"}'] == 7
    assert found['quaymaster_handler_seats_held{handler="WSH1"}'] == 2
    assert found['quaymaster_handler_capacity{handler="WSH1"}'] == 100
    assert found['quaymaster_handler_eligible{handler="WSH2"}'] == 0
    assert found['quaymaster_discovery_failures_total{reason="unreachable"}'] == 4
    assert found["quaymaster_discovery_index_resets_total"] == 2
    assert found["quaymaster_discovery_restarts_total"] == 1


def test_a_departed_instance_takes_its_series_with_it() -> None:
    metrics = Metrics("1.0")
    there = LiveState(now=0.0, snapshots=[known(instance("a"))], active={AUTH: {"a": 1}})
    assert any('instance="a"' in name for name in samples(metrics, there))
    gone = LiveState(now=0.0, snapshots=[known()], active={AUTH: {}})
    assert not any('instance="a"' in name for name in samples(metrics, gone))


def test_two_gateways_of_one_process_count_apart() -> None:
    one, other = Metrics("1.0"), Metrics("1.0")
    one.refused("no_route")
    counted = Counter(
        name for m in (one, other) for name in samples(m, LiveState(now=0.0)) if "errors_total" in name
    )
    assert sum(counted.values()) == 1
