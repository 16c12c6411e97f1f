from dataclasses import replace

from balancer.runtime.upstream import PoolStats
from gateway.health_probes import Found, ProbeState
from gateway.runtime.live_state import LiveState
from gateway.service_views import ServiceView
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
from registry.stats import WatchStats, service_stats
from tests.gateway.runtime.scrapes import samples_of

AUTH, CHAT = ServiceName("auth"), ServiceName("chat")


def instance(name: str, *, suspect: bool = False) -> Instance:
    return Instance(
        InstanceId(name), AUTH, "10.0.0.1", 80, "10.0.0.1", health=Health.PASSING, suspect=suspect
    )


def known(*instances: Instance) -> ServiceSnapshot:
    left_out = Quarantined("bad", AUTH, "bad_port", "port 0")
    return snapshot(AUTH, Status.KNOWN, instances=instances, quarantined=(left_out,), answered_at=10.0)


def test_instances_are_counted_by_what_the_registry_says() -> None:
    found = samples_of(
        LiveState(
            now=12.5,
            services=[ServiceView(known(instance("a"), instance("b"), instance("c", suspect=True)))],
            watch=WatchStats((), 1.0, {"unreachable": 4}, 2, 1),
        )
    )
    assert found['quaymaster_instances{health="passing",service="auth"}'] == 2
    assert found['quaymaster_instances{health="suspect",service="auth"}'] == 1
    assert found['quaymaster_instances_quarantined{reason="bad_port",service="auth"}'] == 1
    assert found['quaymaster_discovery_age_seconds{service="auth"}'] == 2.5
    assert found['quaymaster_discovery_failures_total{reason="unreachable"}'] == 4
    assert found["quaymaster_discovery_index_resets_total"] == 2
    assert found["quaymaster_discovery_restarts_total"] == 1


def test_probes_show_what_they_found_once_they_have_asked() -> None:
    new = ProbeState("db", "postgres")
    up, down = (replace(new, name=name) for name in ("cache", "queue"))
    probes = [new, up.after(Found.UP, 0.25, 1.0), down.after(Found.TIMEOUT, 2.0, 1.0)]
    found = samples_of(LiveState(now=0.0, probes=probes))
    shown = {key: value for key, value in found.items() if key.startswith("quaymaster_probe")}
    assert shown == {
        'quaymaster_probe_up{probe="cache"}': 1,
        'quaymaster_probe_up{probe="queue"}': 0,
        'quaymaster_probe_seconds{probe="cache"}': 0.25,
        'quaymaster_probe_seconds{probe="queue"}': 2.0,
    }


def test_connections_and_tunnels_are_counted_by_service() -> None:
    found = samples_of(
        LiveState(
            now=0.0,
            upstream={AUTH: PoolStats(in_use=3, idle=2, waiting=1), CHAT: PoolStats(4, 0, 0)},
            resent={AUTH: 5},
            tunnels={CHAT: 6},
            client_connections=7,
            access_log_dropped=8,
            waiting=9,
            tasks=10,
        )
    )
    assert found['quaymaster_upstream_connections{service="auth",state="in_use"}'] == 3
    assert found['quaymaster_upstream_connections{service="auth",state="idle"}'] == 2
    assert found['quaymaster_upstream_connections{service="auth",state="waiting"}'] == 1
    assert found['quaymaster_upstream_connections{service="chat",state="in_use"}'] == 4
    assert found['quaymaster_upstream_resent_total{service="auth"}'] == 5
    assert found['quaymaster_tunnels{service="chat"}'] == 6
    assert found["quaymaster_client_connections"] == 7
    assert found["quaymaster_access_log_dropped_total"] == 8
    assert found["quaymaster_requests_waiting"] == 9
    assert found["quaymaster_tasks"] == 10


def test_what_is_amiss_with_discovery_is_counted() -> None:
    checked = replace(service_stats(known(), 12.0), checks_failed={"timeout": 3})
    watch = WatchStats(
        (checked,), 1.0, {}, 0, 0, failovers=2, notes={"no_leader": 4}, saved_age_s=5.0, save_failures=6
    )
    found = samples_of(LiveState(now=0.0, watch=watch, reloads={"failed": 7}))
    assert found["quaymaster_discovery_failovers_total"] == 2
    assert found['quaymaster_discovery_notes_total{note="no_leader"}'] == 4
    assert found['quaymaster_health_checks_failed_total{reason="timeout",service="auth"}'] == 3
    assert found["quaymaster_discovery_saved_age_seconds"] == 5
    assert found["quaymaster_discovery_save_failures_total"] == 6
    assert found['quaymaster_settings_reloads_total{result="failed"}'] == 7


def test_without_a_last_good_state_on_disk_it_has_no_age() -> None:
    found = samples_of(LiveState(now=0.0, watch=WatchStats((), 1.0, {}, 0, 0)))
    assert "quaymaster_discovery_saved_age_seconds" not in found
