"""How things stand, read at a scrape: a departed instance takes its series with it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from balancer.runtime.upstream import PoolStats
from gateway.health_probes import ProbeState
from gateway.runtime.pool_state import PoolState, pool_families
from gateway.runtime.service_families import service_families
from gateway.service_views import ServiceView
from registry.model import ServiceName
from registry.stats import WatchStats


@dataclass(frozen=True, slots=True)
class LiveState:
    now: float
    services: Sequence[ServiceView] = ()
    pools: Sequence[PoolState] = ()
    watch: WatchStats | None = None
    upstream: Mapping[ServiceName, PoolStats] = field(default_factory=dict)
    resent: Mapping[ServiceName, int] = field(default_factory=dict)
    tunnels: Mapping[ServiceName, int] = field(default_factory=dict)
    client_connections: int = 0
    waiting: int = 0
    access_log_dropped: int = 0
    tasks: int = 0
    reloads: Mapping[str, int] = field(default_factory=dict)
    probes: Sequence[ProbeState] = ()

    def families(self) -> Iterable[Metric]:
        """All of it for Prometheus, labelled by what the settings and the registry name."""
        yield from service_families(self.services, self.now)
        yield from pool_families(self.pools)
        if self.watch is not None:
            yield from _watch_families(self.watch)
        yield from _traffic_families(self)
        yield from _probe_families(self.probes)
        reloads = CounterMetricFamily(
            "quaymaster_settings_reloads", "Times the settings were read again.", labels=["result"]
        )
        for result, count in self.reloads.items():
            reloads.add_metric([result], count)
        yield reloads


def _probe_families(probes: Sequence[ProbeState]) -> Iterable[Metric]:
    up = GaugeMetricFamily(
        "quaymaster_probe_up",
        "Whether a dependency is up; not there before its first answer.",
        labels=["probe"],
    )
    seconds = GaugeMetricFamily(
        "quaymaster_probe_seconds", "What its latest answer took, good or bad.", labels=["probe"]
    )
    for probe in probes:
        if probe.up is not None:
            up.add_metric([probe.name], probe.up)
        if probe.seconds is not None:
            seconds.add_metric([probe.name], probe.seconds)
    return (up, seconds)


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
    yield CounterMetricFamily(
        "quaymaster_discovery_failovers", "Changes to another of the registry's addresses.", watch.failovers
    )
    notes = CounterMetricFamily(
        "quaymaster_discovery_notes", "Answers with which something was amiss.", labels=["note"]
    )
    for note, count in watch.notes.items():
        notes.add_metric([note], count)
    yield notes
    yield from _check_families(watch)
    yield from _disk_families(watch)


def _check_families(watch: WatchStats) -> Iterable[Metric]:
    failed = CounterMetricFamily(
        "quaymaster_health_checks_failed",
        "Questions of our own to instances that got no good answer.",
        labels=["service", "reason"],
    )
    for service in watch.services:
        for reason, count in service.checks_failed.items():
            failed.add_metric([service.service, reason], count)
    return (failed,)


def _disk_families(watch: WatchStats) -> Iterable[Metric]:
    saved = GaugeMetricFamily(
        "quaymaster_discovery_saved_age_seconds", "Since the last good state was written to disk."
    )
    if watch.saved_age_s is not None:
        saved.add_metric([], watch.saved_age_s)
    failures = CounterMetricFamily(
        "quaymaster_discovery_save_failures", "Times it could not be written.", watch.save_failures
    )
    return (saved, failures)


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
        "quaymaster_requests_waiting",
        "Held until there is a seat, a drain is over or a service changes.",
        live.waiting,
    )
    dropped = CounterMetricFamily(
        "quaymaster_access_log_dropped", "Lines that could not be written.", live.access_log_dropped
    )
    tasks = GaugeMetricFamily("quaymaster_tasks", "Tasks of the event loop.", live.tasks)
    return (connections, resent, tunnels, clients, waiting, dropped, tasks)
