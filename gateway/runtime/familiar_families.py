"""The same counts once more, under the names that dashboards of other gateways ask for.

Nothing is counted for them: they are made of our own series when somebody scrapes, and README says which.
"""

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from balancer.circuit import State
from gateway.answer_head import SWITCHED
from gateway.runtime.live_state import LiveState
from gateway.tallies import Histogram, Histograms, Labels

CIRCUIT = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}
# Places of the labels in what metrics.py counts.
ROUTE, METHOD, STATUS = 0, 1, 2
SERVICE, CODE = 0, 1


def familiar_families(answered: Histograms, tried: Histograms, live: LiveState) -> Iterable[Metric]:
    """`answered` by route, method and status; `tried` by service, status and outcome."""
    requests = CounterMetricFamily(
        "gateway_requests", "As quaymaster_requests_total.", labels=["method", "endpoint", "status"]
    )
    for (route, method, status), histogram in answered.items():
        requests.add_metric([str(method), str(route), str(status)], histogram.count)
    yield requests
    yield histogram_family(
        "gateway_request_duration_seconds",
        "As quaymaster_request_duration_seconds, by method too.",
        ["method", "endpoint"],
        answered.by(METHOD, ROUTE, but=SWITCHED),
    )
    yield GaugeMetricFamily(
        "gateway_active_connections", "As quaymaster_client_connections.", live.client_connections
    )
    calls = CounterMetricFamily(
        "gateway_service_calls",
        "As quaymaster_upstream_requests_total, without the outcome.",
        labels=["service", "status"],
    )
    for (service, code), histogram in tried.by(SERVICE, CODE).items():
        calls.add_metric([str(service), str(code)], histogram.count)
    yield calls
    circuits = GaugeMetricFamily(
        "gateway_circuit_breaker_state", "0 closed, 1 half-open, 2 open.", labels=["service"]
    )
    for view in live.services:
        state = State.CLOSED if view.calls is None else view.calls.circuit
        circuits.add_metric([view.snapshot.service], CIRCUIT[state])
    yield circuits


def histogram_family(
    name: str, text: str, labels: Sequence[str], histograms: Mapping[Labels, Histogram]
) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, histogram in histograms.items():
        edges = [*(str(bound) for bound in histogram.bounds), "+Inf"]
        buckets = list(zip(edges, histogram.cumulative(), strict=True))
        family.add_metric([str(value) for value in values], buckets, histogram.sum)
    return family
