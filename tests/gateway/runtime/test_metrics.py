import random
import re
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from balancer.outcome import SUCCESS, Kind, Outcome, Phase, Side
from gateway.runtime.live_state import LiveState
from gateway.runtime.metrics import BUCKETS, Metrics
from gateway.runtime.pool_state import PoolState
from handlers.outage import Mode
from registry.model import Instance, InstanceId, ServiceName
from registry.stats import WatchStats
from tests.balancer.origins import Connection, origin, until
from tests.gateway.runtime.gateways import NOWHERE, ask, gateway, request, settings_of, wire
from tests.gateway.runtime.scrapes import samples, scrape
from tests.project.source import ROOT

AUTH, CHAT = ServiceName("auth"), ServiceName("chat")
NOTHING = LiveState(now=0.0)
WATCHED = LiveState(now=0.0, watch=WatchStats((), 0.0, {}, 0, 0))
"""What shows every family there is."""
INSTANCE = Instance(InstanceId("a"), AUTH, "10.0.0.1", 80, "10.0.0.1")
REFUSED = Outcome(Phase.CONNECT, Side.INSTANCE, Kind.REFUSED, sent=False)


class TheirMetrics:
    """The same on prometheus_client's own counters and histograms."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter(
            "requests", "Requests answered, by route, method and status.", "route", "method", "code"
        )
        self.seconds = self._histogram(
            "request_duration_seconds", "From the request's head to the end of its answer.", "route"
        )
        self.tries = self._counter(
            "upstream_requests", "Tries at instances, by service, status and outcome.",
            "service", "code", "outcome",
        )  # fmt: skip
        self.try_seconds = self._histogram(
            "upstream_duration_seconds", "One try at an instance, its answer's body included.", "service"
        )
        self.retries = self._counter(
            "retries", "Tries after a failed one, by service and the failure.", "service", "reason"
        )
        self.errors = self._counter("errors", "The gateway's own error answers, by reason.", "reason")
        info = Gauge("quaymaster_build_info", "Always 1.", ["version"], registry=self.registry)
        info.labels(version).set(1)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"quaymaster_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, label: str) -> Histogram:
        return Histogram(f"quaymaster_{name}", text, [label], buckets=BUCKETS, registry=self.registry)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        self.requests.labels(route, method, status).inc()
        self.seconds.labels(route).observe(seconds)

    def tried(
        self, service: str, instance: Instance, outcome: Outcome, status: int | None, seconds: float
    ) -> None:
        del instance
        self.tries.labels(service, status or "none", outcome.label).inc()
        self.try_seconds.labels(service).observe(seconds)

    def retried(self, service: str, reason: str) -> None:
        self.retries.labels(service, reason).inc()

    def refused(self, reason: str) -> None:
        self.errors.labels(reason).inc()

    def exposition(self) -> str:
        lines = generate_latest(self.registry).decode().splitlines(keepends=True)
        return "".join(line for line in lines if "_created" not in line)


Event = Callable[[Metrics | TheirMetrics], None]

SECONDS = st.integers(0, 40 << 10).map(lambda n: n / 1024)
"""Sums of these have no rounding, so they are the same in any order."""
STATUSES = st.sampled_from([200, 404, 503])
REASONS = st.sampled_from(["no_route", 'an \\ odd\n"one"'])
SERVICES = st.sampled_from([AUTH, CHAT])


@st.composite
def events(draw: st.DrawFn) -> Event:
    reason, service, seconds, status = draw(REASONS), draw(SERVICES), draw(SECONDS), draw(STATUSES)
    method, outcome = draw(st.sampled_from(["GET", "POST"])), draw(st.sampled_from([SUCCESS, REFUSED]))
    known: list[Event] = [
        lambda m: m.answered(f"/{service}", method, status, seconds),
        lambda m: m.tried(service, INSTANCE, outcome, None if outcome is REFUSED else status, seconds),
        lambda m: m.retried(service, reason),
        lambda m: m.refused(reason),
    ]
    return draw(st.sampled_from(known))


@given(st.lists(events(), max_size=50))
def test_the_text_is_what_prometheus_own_counters_would_show(happened: list[Event]) -> None:
    ours, theirs = Metrics("1.0"), TheirMetrics("1.0")
    for event in happened:
        event(ours)
        event(theirs)
    text = ours.exposition(NOTHING).decode()
    assert text[text.index("# HELP quaymaster_requests_total") :] == theirs.exposition()


def test_counters_are_labelled_by_what_the_settings_name() -> None:
    metrics = Metrics("1.0")
    metrics.answered("/login", "POST", 200, 0.02)
    metrics.answered("none", "PROPFIND", 404, 0.001)
    metrics.tried(AUTH, INSTANCE, SUCCESS, 200, 0.01)
    metrics.tried(AUTH, INSTANCE, REFUSED, None, 0.0)
    metrics.retried(AUTH, "connect_refused")
    metrics.refused("no_route")
    metrics.reported(AUTH, "timeout")
    metrics.refused_retry(AUTH)
    metrics.hedged(AUTH, True)
    metrics.hedged(AUTH, False)
    metrics.circuit(AUTH, "open")
    metrics.seat("chat", "reserved")
    metrics.decided("chat", 0.0001)
    metrics.rate_limited("address")
    metrics.cached("/login", "hit")
    metrics.versioned("/cart", "v2", 200)
    metrics.tokens.count("verified")
    found = samples(metrics.exposition(NOTHING))
    assert found['quaymaster_requests_total{code="200",method="POST",route="/login"}'] == 1
    assert found['quaymaster_requests_total{code="404",method="other",route="none"}'] == 1
    assert found['quaymaster_upstream_requests_total{code="200",outcome="done_ok",service="auth"}'] == 1
    refused = 'quaymaster_upstream_requests_total{code="none",outcome="connect_refused",service="auth"}'
    assert found[refused] == 1
    assert found['quaymaster_retries_total{reason="connect_refused",service="auth"}'] == 1
    assert found['quaymaster_errors_total{reason="no_route"}'] == 1
    assert found['quaymaster_reports_total{outcome="timeout",service="auth"}'] == 1
    assert found['quaymaster_retries_refused_total{service="auth"}'] == 1
    assert found['quaymaster_hedges_total{result="won",service="auth"}'] == 1
    assert found['quaymaster_hedges_total{result="lost",service="auth"}'] == 1
    assert found['quaymaster_circuit_changes_total{service="auth",state="open"}'] == 1
    assert found['quaymaster_seats_total{pool="chat",result="reserved"}'] == 1
    assert found['quaymaster_seat_decision_seconds_bucket{le="0.0001",pool="chat"}'] == 1
    assert found['quaymaster_seat_decision_seconds_bucket{le="5e-05",pool="chat"}'] == 0
    assert found['quaymaster_rate_limited_total{rule="address"}'] == 1
    assert found['quaymaster_cache_total{result="hit",route="/login"}'] == 1
    assert found['quaymaster_versions_total{code="200",route="/cart",version="v2"}'] == 1
    assert found['quaymaster_tokens_total{result="verified"}'] == 1
    assert found['quaymaster_build_info{version="1.0"}'] == 1
    assert found['quaymaster_request_duration_seconds_count{route="/login"}'] == 1
    assert found['quaymaster_request_duration_seconds_bucket{le="0.025",route="/login"}'] == 1
    assert not [name for name in found if "_created" in name]


def test_how_long_a_tunnel_was_open_is_no_duration_of_a_request() -> None:
    metrics = Metrics("1.0")
    metrics.answered("/ws/*", "GET", 101, 3600.0)
    metrics.answered("/ws/*", "GET", 403, 0.01)
    metrics.tried(CHAT, INSTANCE, SUCCESS, 101, 3600.0)
    found = samples(metrics.exposition(NOTHING))
    assert found['quaymaster_requests_total{code="101",method="GET",route="/ws/*"}'] == 1
    assert found['quaymaster_request_duration_seconds_count{route="/ws/*"}'] == 1
    assert found['gateway_request_duration_seconds_sum{endpoint="/ws/*",method="GET"}'] == 0.01
    assert 'quaymaster_upstream_duration_seconds_count{service="chat"}' not in found
    assert found['quaymaster_upstream_requests_total{code="101",outcome="done_ok",service="chat"}'] == 1


def test_what_is_counted_of_one_service_can_be_asked_for() -> None:
    metrics = Metrics("1.0")
    assert (metrics.retries_refused(AUTH), metrics.hedges(AUTH), metrics.reports(AUTH)) == (0, {}, {})
    for service in (AUTH, CHAT):
        metrics.refused_retry(service)
    metrics.hedged(AUTH, True)
    metrics.hedged(CHAT, False)
    metrics.reported(AUTH, "ok")
    assert (metrics.retries_refused(AUTH), metrics.hedges(AUTH), metrics.reports(AUTH)) == (
        1,
        {"won": 1},
        {"ok": 1},
    )


def test_what_became_of_seats_stands_beside_what_was_answered() -> None:
    metrics = Metrics("1.0")
    metrics.seat("chat", "reserved")
    pools = [PoolState("chat", Mode.EXACT, counts={"confirmed": 3}), PoolState("feed", Mode.EXACT)]
    found = samples(metrics.exposition(LiveState(now=0.0, pools=pools)))
    assert {series: n for series, n in found.items() if series.startswith("quaymaster_seats_total")} == {
        'quaymaster_seats_total{pool="chat",result="reserved"}': 1,
        'quaymaster_seats_total{pool="chat",result="confirmed"}': 3,
    }


def test_a_thousand_methods_make_one_series() -> None:
    metrics = Metrics("1.0")
    for number in range(1000):
        metrics.answered("none", f"M{number}", 405, 0.001)
    found = samples(metrics.exposition(NOTHING))
    requests = {s: n for s, n in found.items() if s.startswith("quaymaster_requests_total")}
    assert requests == {'quaymaster_requests_total{code="405",method="other",route="none"}': 1000}


def test_a_scrape_changes_nothing() -> None:
    metrics = Metrics("1.0")
    metrics.answered("/login", "POST", 200, 0.02)
    assert metrics.exposition(NOTHING) == metrics.exposition(NOTHING)


def test_two_gateways_of_one_process_count_apart() -> None:
    one, other = Metrics("1.0"), Metrics("1.0")
    one.refused("no_route")
    assert 'quaymaster_errors_total{reason="no_route"}' in samples(one.exposition(NOTHING))
    assert 'quaymaster_errors_total{reason="no_route"}' not in samples(other.exposition(NOTHING))


def test_limits_and_spans_say_how_they_stand() -> None:
    metrics = Metrics("1.0")
    found = samples(metrics.exposition(NOTHING))
    assert found["quaymaster_limiter_degraded"] == 0
    assert not [series for series in found if series.startswith("quaymaster_spans")]
    metrics.limiter_degraded = True
    metrics.spans = lambda: {"exported": 5, "dropped": 2}
    found = samples(metrics.exposition(NOTHING))
    assert found["quaymaster_limiter_degraded"] == 1
    assert found['quaymaster_spans_total{result="dropped"}'] == 2


def test_what_has_left_the_settings_takes_its_series_with_it() -> None:
    metrics = Metrics("1.0")
    for service, route in ((AUTH, "/auth"), (CHAT, "/chat")):
        metrics.answered(route, "GET", 200, 0.1)
        metrics.cached(route, "hit")
        metrics.versioned(route, "v2", 200)
        metrics.tried(service, INSTANCE, SUCCESS, 200, 0.01)
        metrics.retried(service, "connect_refused")
        metrics.refused_retry(service)
        metrics.hedged(service, True)
        metrics.circuit(service, "open")
        metrics.reported(service, "timeout")
    before = samples(metrics.exposition(NOTHING))
    metrics.keep(services={"chat"}, routes={"/chat"})
    after = samples(metrics.exposition(NOTHING))
    assert not [series for series in after if "auth" in series]
    assert after == {series: value for series, value in before.items() if "auth" not in series}
    assert [series for series in after if "chat" in series]


async def test_who_watches_is_told_that_limits_are_not_shared() -> None:
    store = {"backend": "redis", "url": "redis://127.0.0.1:9/0"}
    async with gateway(store=store) as running:
        assert (await scrape(running.port))["quaymaster_limiter_degraded"] == 0
        await ask(running.port, "GET", "/open/a")
        assert (await scrape(running.port))["quaymaster_limiter_degraded"] == 1


async def test_a_reload_ends_the_series_of_what_it_takes_out() -> None:
    async with gateway(
        services={"auth": {"instances": [NOWHERE]}, "old": {"instances": [NOWHERE]}},
        routes=[
            {"path": "/a", "service": "auth", "access": "public"},
            {"path": "/b", "service": "old", "access": "public"},
        ],
    ) as running:
        for path in ("/a", "/b"):
            assert (await ask(running.port, "GET", path)).status == 502
        assert 'quaymaster_upstream_duration_seconds_count{service="old"}' in await scrape(running.port)
        await running.follow(settings_of(routes=[{"path": "/a", "service": "auth", "access": "public"}]))
        found = await scrape(running.port)
        assert not [series for series in found if '"/b"' in series]
        # What is read at the scrape stays until nobody watches the service any more.
        assert not [series for series in found if '"old"' in series and "_upstream_" in series]
        assert 'quaymaster_upstream_duration_seconds_count{service="auth"}' in found


async def test_a_call_that_outlives_its_route_leaves_no_series_for_ever() -> None:
    async def waits(connection: Connection) -> None:
        await connection.request()
        await connection.origin.go.wait()
        await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    left = [{"path": "/b", "service": "auth", "access": "public"}]
    async with origin(waits) as there, gateway(there.instance) as running, wire(running.port) as client:
        await client.say(request("GET", "/open/a"))
        await until(lambda: there.requests)
        await running.follow(settings_of(there.instance, routes=left))
        there.go.set()
        assert (await client.answer()).status == 200
        began_anew = 'quaymaster_requests_total{code="200",method="GET",route="/open/*"}'
        assert began_anew in await scrape(running.port)
        await running.follow(settings_of(there.instance, routes=left))
        found = await scrape(running.port)
        assert began_anew not in found
        assert 'quaymaster_requests_total{code="200",method="GET",route="/metrics"}' in found, "ours stay"


async def test_ten_thousand_paths_make_no_series() -> None:
    """H22 of the threats: whoever asks for random paths must not fill the memory of all who watch."""
    rng = random.Random(1)
    async with gateway() as running, wire(running.port) as client:

        async def ask_for(paths: int) -> set[str]:
            names = [f"/{rng.getrandbits(64):x}" for _ in range(paths)]
            await client.say(*(request("GET", path) for path in names))
            for _ in names:
                assert (await client.answer()).status == 404
            return set(await scrape(running.port))

        await ask_for(1)
        before = await ask_for(1)
        for _ in range(100):
            assert await ask_for(100) == before


def test_the_readme_lists_every_series_and_no_other() -> None:
    types = re.findall(r"^# TYPE (\S+)", Metrics("1.0").exposition(WATCHED).decode(), re.MULTILINE)
    listed = re.findall(r"quaymaster_\w+|(?<=`)gateway_\w+(?=`)", (ROOT / "README.md").read_text())
    assert set(types) == set(listed)
    assert len(types) == len(set(types))
