"""How things stand, read at a scrape: a departed instance takes its series with it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from balancer.runtime.upstream import PoolStats
from gateway.runtime.pool_state import PoolState, pool_families
from registry.model import ServiceName, ServiceSnapshot
from registry.stats import WatchStats


@dataclass(frozen=True, slots=True)
class LiveState:
    now: float
    snapshots: Sequence[ServiceSnapshot] = ()
    active: Mapping[ServiceName, Mapping[str, int]] = field(default_factory=dict)
    """Calls in flight and live hand-outs by service and instance id."""
    pools: Sequence[PoolState] = ()
    watch: WatchStats | None = None
    upstream: Mapping[ServiceName, PoolStats] = field(default_factory=dict)
    resent: Mapping[ServiceName, int] = field(default_factory=dict)
    tunnels: Mapping[ServiceName, int] = field(default_factory=dict)
    client_connections: int = 0
    waiting: int = 0
    access_log_dropped: int = 0
    reloads: Mapping[str, int] = field(default_factory=dict)

    def families(self) -> Iterable[Metric]:
        """All of it for Prometheus, labelled by what the settings and the registry name."""
        yield from _registry_families(self)
        yield from pool_families(self.pools)
        if self.watch is not None:
            yield from _watch_families(self.watch)
        yield from _traffic_families(self)
        reloads = CounterMetricFamily(
            "quaymaster_settings_reloads", "Times the settings were read again.", labels=["result"]
        )
        for result, count in self.reloads.items():
            reloads.add_metric([result], count)
        yield reloads


def _registry_families(live: LiveState) -> Iterable[Metric]:
    instances = GaugeMetricFamily(
        "quaymaster_instances", "Instances by what the registry says.", labels=["service", "health"]
    )
    age = GaugeMetricFamily(
        "quaymaster_discovery_age_seconds", "Since the registry's last answer.", labels=["service"]
    )
    quarantined = GaugeMetricFamily(
        "quaymaster_instances_quarantined", "Registrations left out.", labels=["service", "reason"]
    )
    active = GaugeMetricFamily(
        "quaymaster_upstream_in_flight", "Calls in flight and live hand-outs.", labels=["service", "instance"]
    )
    for snapshot in live.snapshots:
        _count(
            instances,
            snapshot.service,
            ["suspect" if i.suspect else i.health.value for i in snapshot.instances],
        )
        _count(quarantined, snapshot.service, [q.reason for q in snapshot.quarantined])
        if (seconds := snapshot.age_s(live.now)) is not None:
            age.add_metric([snapshot.service], seconds)
        for instance, count in live.active.get(snapshot.service, {}).items():
            active.add_metric([snapshot.service, instance], count)
    return (instances, age, quarantined, active)


def _watch_families(watch: WatchStats) -> Iterable[Metric]:
    failures = CounterMetricFamily(
        "quaymaster_discovery_failures", "Answers that did not come or can't be used.", labels=["reason"]
    )
    for reason, count in watch.failures.items():
        failures.add_metric([reason], count)
    yield failures
    yield CounterMetricFamily(
        "quaymaster_discovery_index_resets", "Times the registry's index went backwards.", watch.index_resets
    )
    yield CounterMetricFamily("quaymaster_discovery_restarts", "Watches opened anew.", watch.restarts)


def _traffic_families(live: LiveState) -> Iterable[Metric]:
    connections = GaugeMetricFamily(
        "quaymaster_upstream_connections",
        "Connections to instances, in use or idle, and calls waiting for one.",
        labels=["service", "state"],
    )
    for service, pools in live.upstream.items():
        connections.add_metric([service, "in_use"], pools.in_use)
        connections.add_metric([service, "idle"], pools.idle)
        connections.add_metric([service, "waiting"], pools.waiting)
    resent = CounterMetricFamily(
        "quaymaster_upstream_resent",
        "Requests that met a connection its instance was just closing, and went out again.",
        labels=["service"],
    )
    for service, count in live.resent.items():
        resent.add_metric([service], count)
    tunnels = GaugeMetricFamily("quaymaster_tunnels", "WebSockets open through here.", labels=["service"])
    for service, count in live.tunnels.items():
        tunnels.add_metric([service], count)
    clients = GaugeMetricFamily(
        "quaymaster_client_connections", "Open from clients, tunnels included.", live.client_connections
    )
    waiting = GaugeMetricFamily(
        "quaymaster_requests_waiting", "Held until there is a seat or a drain is over.", live.waiting
    )
    dropped = CounterMetricFamily(
        "quaymaster_access_log_dropped", "Lines that could not be written.", live.access_log_dropped
    )
    return (connections, resent, tunnels, clients, waiting, dropped)


def _count(family: GaugeMetricFamily, service: str, values: Sequence[str]) -> None:
    for value in sorted(set(values)):
        family.add_metric([service, value], values.count(value))
