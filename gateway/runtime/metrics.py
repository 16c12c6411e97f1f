"""What Prometheus sees. Labels come from the settings or from closed sets, never from a request.

Counted here is what happens; how things stand is read at the scrape (live_state.py).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from balancer.outcome import Outcome
from balancer.runtime.base import Observer
from gateway.answer_head import SWITCHED
from gateway.runtime.familiar_families import familiar_families, histogram_family
from gateway.runtime.live_state import LiveState
from gateway.tallies import OTHER, Counters, Histograms, Labels, keep
from gateway.target import CARRIED
from registry.model import Instance, ServiceName

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
DECISION_BUCKETS = (0.000_05, 0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
"""From a decision in memory to one that has given up a store."""


class Metrics(Observer):
    """The balancer's `Observer` too. Used from one event loop only."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._answered = Histograms(BUCKETS)
        self._tried = Histograms(BUCKETS)
        self._retried = Counters()
        self._unaffordable = Counters()
        self._hedged = Counters()
        self._circuits = Counters()
        self._refused = Counters()
        self._reported = Counters()
        self._seats = Counters()
        self._decided = Histograms(DECISION_BUCKETS)
        self._limited = Counters()
        self._cached = Counters()
        self._versions = Counters()
        self.tokens = Counters()
        """What became of tokens that were shown: verified, remembered, revoked, rejected or unavailable."""
        self.limiter_degraded = False
        """Whether the request that was counted last was counted here only, as the store did not answer."""
        self.spans: Callable[[], Mapping[str, int]] = dict
        """Set where requests are traced: what became of the spans."""

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        self._answered[route, method if method in CARRIED else OTHER, status].observe(seconds)

    def refused(self, reason: str) -> None:
        self._refused.count(reason)

    def reported(self, service: ServiceName, outcome: str) -> None:
        """What a caller elsewhere said of an instance of a service that is known."""
        self._reported.count(service, outcome)

    def seat(self, pool: str, result: str) -> None:
        """What was answered to whom asked for a seat."""
        self._seats.count(pool, result)

    def decided(self, pool: str, seconds: float) -> None:
        """How long it took to find a seat, or that there is none."""
        self._decided[pool,].observe(seconds)

    def rate_limited(self, rule: str) -> None:
        """A request was refused by a limit; `rule` is the kind of that limit: address, user, route…"""
        self._limited.count(rule)

    def cached(self, route: str, result: str) -> None:
        """How the cache was used for a request: hit, miss, stale or bypass."""
        self._cached.count(route, result)

    def versioned(self, route: str, version: str, status: int) -> None:
        """A request was answered so by that version of the API, or by the subset with that tag."""
        self._versions.count(route, version, status)

    def tried(
        self, service: ServiceName, instance: Instance, outcome: Outcome, status: int | None, seconds: float
    ) -> None:
        del instance
        self._tried[service, status or "none", outcome.label].observe(seconds)

    def retried(self, service: ServiceName, reason: str) -> None:
        self._retried.count(service, reason)

    def refused_retry(self, service: ServiceName) -> None:
        self._unaffordable.count(service)

    def hedged(self, service: ServiceName, won: bool) -> None:
        self._hedged.count(service, "won" if won else "lost")

    def circuit(self, service: ServiceName, state: str) -> None:
        self._circuits.count(service, state)

    def retries_refused(self, service: ServiceName) -> int:
        return self._unaffordable.get((service,), 0)

    def hedges(self, service: ServiceName) -> dict[str, int]:
        """By result: `won`, `lost`."""
        return _of(service, self._hedged)

    def reports(self, service: ServiceName) -> dict[str, int]:
        """By outcome."""
        return _of(service, self._reported)

    def keep(self, *, services: Collection[str], routes: Collection[str]) -> None:
        """The series of all others end. `routes` are the names of endpoints, too.

        A call that is under way while its route goes begins a series anew: that one ends the next time.
        """
        for of_routes in (self._answered, self._cached, self._versions):
            keep(of_routes, routes)
        for of_services in (
            self._tried,
            self._retried,
            self._unaffordable,
            self._hedged,
            self._circuits,
            self._reported,
        ):
            keep(of_services, services)

    def exposition(self, live: LiveState) -> bytes:
        """The text format, with the gauges of `live`."""
        return generate_latest(
            _Families(
                [
                    *live.families(),
                    *self._seat_families(live),
                    *self._second_try_families(),
                    *self._front_door_families(),
                    *familiar_families(self._answered, self._tried, live),
                    *self._families(),
                ]
            )
        )

    def _seat_families(self, live: LiveState) -> Iterable[Metric]:
        settled = {(pool.name, what): n for pool in live.pools for what, n in pool.counts.items()}
        yield _counter(
            "quaymaster_seats",
            "Seats: what was answered (reserved, or why not), and what has become of them.",
            ["pool", "result"],
            self._seats | settled,
        )
        yield _histogram(
            "quaymaster_seat_decision_seconds",
            "Finding a seat, or that there is none.",
            "pool",
            self._decided,
        )

    def _second_try_families(self) -> Iterable[Metric]:
        yield _counter(
            "quaymaster_retries_refused",
            "Tries after a failed one that the retry budget had no room for.",
            ["service"],
            self._unaffordable,
        )
        yield _counter(
            "quaymaster_hedges",
            "Calls that went to a second instance too, and whether that one was first.",
            ["service", "result"],
            self._hedged,
        )
        yield _counter(
            "quaymaster_circuit_changes",
            "Times a service's circuit came into a state.",
            ["service", "state"],
            self._circuits,
        )
        yield _counter(
            "quaymaster_reports",
            "What callers have reported of instances that they called by themselves.",
            ["service", "outcome"],
            self._reported,
        )

    def _front_door_families(self) -> Iterable[Metric]:
        yield _counter(
            "quaymaster_rate_limited",
            "Requests refused by a limit, by the kind of the limit.",
            ["rule"],
            self._limited,
        )
        yield _counter(
            "quaymaster_cache",
            "Requests of routes whose answers are kept, by how the cache was used.",
            ["route", "result"],
            self._cached,
        )
        yield _counter(
            "quaymaster_versions",
            "Requests to a version of an API, or to the instances with a tag.",
            ["route", "version", "code"],
            self._versions,
        )
        yield _counter(
            "quaymaster_tokens", "Tokens that were shown, by what became of them.", ["result"], self.tokens
        )
        yield GaugeMetricFamily(
            "quaymaster_limiter_degraded",
            "1 while limits are enforced by this gateway alone.",
            self.limiter_degraded,
        )
        yield _counter(
            "quaymaster_spans",
            "Spans that have ended, by what became of them.",
            ["result"],
            {(result,): count for result, count in self.spans().items()},
        )

    def _families(self) -> Iterable[Metric]:
        yield _counter(
            "quaymaster_requests",
            "Requests answered, by route, method and status.",
            ["route", "method", "code"],
            _counts(self._answered),
        )
        yield _histogram(
            "quaymaster_request_duration_seconds",
            "From the request's head to the end of its answer.",
            "route",
            self._answered,
        )
        yield _counter(
            "quaymaster_upstream_requests",
            "Tries at instances, by service, status and outcome.",
            ["service", "code", "outcome"],
            _counts(self._tried),
        )
        yield _histogram(
            "quaymaster_upstream_duration_seconds",
            "One try at an instance, its answer's body included.",
            "service",
            self._tried,
        )
        yield _counter(
            "quaymaster_retries",
            "Tries after a failed one, by service and the failure.",
            ["service", "reason"],
            self._retried,
        )
        yield _counter(
            "quaymaster_errors", "The gateway's own error answers, by reason.", ["reason"], self._refused
        )
        info = GaugeMetricFamily("quaymaster_build_info", "Always 1.", labels=["version"])
        info.add_metric([self._version], 1)
        yield info


class _Families(Collector):
    """What is shown at one scrape."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _counts(histograms: Histograms) -> dict[Labels, int]:
    return {labels: histogram.count for labels, histogram in histograms.items()}


def _of(service: ServiceName, counters: Counters) -> dict[str, int]:
    return {str(label): count for (name, label), count in counters.items() if name == service}


def _counter(name: str, text: str, labels: Sequence[str], counts: Mapping[Labels, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in counts.items():
        family.add_metric([str(value) for value in values], count)
    return family


def _histogram(name: str, text: str, first_label: str, histograms: Histograms) -> Metric:
    # How long a WebSocket was open says nothing of how long anybody waited.
    return histogram_family(name, text, [first_label], histograms.by(0, but=SWITCHED))
