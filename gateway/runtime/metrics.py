"""What Prometheus sees. Labels come from the settings or from closed sets, never from a request.

Counters are kept; everything that can be read off the live state (instances, loads, seats) is read when
somebody scrapes, so a departed instance takes its series with it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from balancer.outcome import Outcome
from gateway.target import CARRIED
from handlers.model import HandlerState
from registry.model import Instance, ServiceName, ServiceSnapshot
from registry.stats import WatchStats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class LiveState:
    """What is read off the running gateway at a scrape."""

    now: float
    snapshots: Sequence[ServiceSnapshot] = ()
    active: dict[ServiceName, dict[str, int]] = field(default_factory=dict)
    """Calls in flight and live hand-outs by service and instance id."""
    handlers: Sequence[HandlerState] = ()
    watch: WatchStats | None = None


class Metrics:
    """Implements the balancer's `Observer` too."""

    def __init__(self, version: str) -> None:
        # A `_created` series beside each counter would double what is stored for nothing.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types for it
        self._registry = CollectorRegistry(auto_describe=True)
        self._live = _LiveCollector()
        self._registry.register(self._live)
        self._requests = Counter(
            "quaymaster_requests",
            "Requests answered, by route, method and status.",
            ["route", "method", "code"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "quaymaster_request_duration_seconds",
            "From the request's head to the end of its answer.",
            ["route"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._tries = Counter(
            "quaymaster_upstream_requests",
            "Tries at instances, by service, status and outcome.",
            ["service", "code", "outcome"],
            registry=self._registry,
        )
        self._try_seconds = Histogram(
            "quaymaster_upstream_duration_seconds",
            "One try at an instance, its answer's body included.",
            ["service"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._retries = Counter(
            "quaymaster_retries",
            "Tries after a failed one, by service and the failure.",
            ["service", "reason"],
            registry=self._registry,
        )
        self._refused = Counter(
            "quaymaster_errors",
            "The gateway's own error answers, by reason.",
            ["reason"],
            registry=self._registry,
        )
        self._seats = Counter(
            "quaymaster_seats", "Seats asked for, by result.", ["result"], registry=self._registry
        )
        info = Gauge("quaymaster_build_info", "Always 1.", ["version"], registry=self._registry)
        info.labels(version).set(1)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        self._requests.labels(route, method if method in CARRIED else "other", str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def seat(self, result: str) -> None:
        self._seats.labels(result).inc()

    def tried(
        self, service: ServiceName, instance: Instance, outcome: Outcome, status: int | None, seconds: float
    ) -> None:
        del instance
        self._tries.labels(service, str(status or "none"), outcome.label).inc()
        self._try_seconds.labels(service).observe(seconds)

    def retried(self, service: ServiceName, reason: str) -> None:
        self._retries.labels(service, reason).inc()

    def exposition(self, live: LiveState) -> bytes:
        """The text format, with the gauges of `live`."""
        self._live.state = live
        return generate_latest(self._registry)


class _LiveCollector(Collector):
    def __init__(self) -> None:
        self.state = LiveState(now=0.0)

    def collect(self) -> Iterable[Metric]:
        live = self.state
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
            "quaymaster_upstream_in_flight",
            "Calls in flight and live hand-outs.",
            labels=["service", "instance"],
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
        yield from (instances, age, quarantined, active)
        yield from _handler_families(live.handlers)
        if live.watch is not None:
            yield from _watch_families(live.watch)


def _handler_families(states: Sequence[HandlerState]) -> Iterable[Metric]:
    connections = GaugeMetricFamily("quaymaster_handler_connections", "As last reported.", labels=["handler"])
    held = GaugeMetricFamily("quaymaster_handler_seats_held", "Reserved, not confirmed.", labels=["handler"])
    capacity = GaugeMetricFamily("quaymaster_handler_capacity", "Connections it takes.", labels=["handler"])
    eligible = GaugeMetricFamily(
        "quaymaster_handler_eligible", "1 if clients are sent there.", labels=["handler"]
    )
    for state in states:
        connections.add_metric([state.id], state.connections)
        held.add_metric([state.id], state.held)
        capacity.add_metric([state.id], state.capacity)
        eligible.add_metric([state.id], int(state.eligible))
    return (connections, held, capacity, eligible)


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


def _count(family: GaugeMetricFamily, service: str, values: Sequence[str]) -> None:
    for value in sorted(set(values)):
        family.add_metric([service, value], values.count(value))
