"""Spans as a collector gets them: from a real gateway, over OTLP, decoded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.runtime.app import Gateway
from gateway.runtime.tracing_spans import Spans
from gateway.settings_telemetry import TracingSettings
from gateway.trace_context import TraceContext
from tests.balancer import origins
from tests.balancer.origins import Origin, counts_requests, origin
from tests.balancer.runtime.balancers import traces_told
from tests.gateway.runtime.collectors import Collector, collector
from tests.gateway.runtime.gateways import ask, exchange_for, gateway, token, unsent_request
from tests.gateway.runtime.scrapes import scrape

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CANARY = "a-secret-that-no-trace-may-hold"


@asynccontextmanager
async def traced(
    *instances: Origin, sections: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[tuple[Gateway, Collector]]:
    """A gateway and the collector that has all its spans once the gateway has ended: look at it then."""
    async with collector() as taking:
        tracing = {"enabled": True, "endpoint": taking.url, **settings}
        async with gateway(*(i.instance for i in instances), tracing=tracing, **(sections or {})) as running:
            yield running, taking


async def test_a_request_and_its_try_are_two_spans_of_one_trace() -> None:
    async with origin(counts_requests) as there:
        async with traced(there) as (running, taking):
            headers = (f"token: {CANARY}", "traceparent: nonsense", "tracestate: a=1")
            answer = await ask(running.port, "GET", f"/open/a?token={CANARY}", *headers)
            assert answer.status == 200
            assert 'quaymaster_spans_total{result="dropped"}' in await scrape(running.port)
        assert taking.paths == ["/v1/traces"]
        (resource,) = taking.resources
        assert resource["service.name"] == "quaymaster"
        (of_request,), (of_try,) = taking.requests(), taking.tries()
        assert of_request.name == "GET /open/*"
        expected = {
            "http.request.method": "GET",
            "http.route": "/open/*",
            "http.response.status_code": 200,
            "url.path": "/open/a",
            "url.scheme": "http",
            "client.address": "127.0.0.1",
            "network.protocol.version": "1.1",
            "quaymaster.request_id": answer.one("X-Request-Id"),
            "quaymaster.attempts": 1,
            "quaymaster.service": "auth",
            "quaymaster.instance": of_try.attributes["quaymaster.instance"],
        }
        assert of_request.attributes == expected
        assert not of_request.failed
        assert of_request.parent_id == ""
        assert (of_try.trace_id, of_try.parent_id) == (of_request.trace_id, of_request.span_id)
        assert of_try.name == "try auth"
        assert of_try.attributes["quaymaster.outcome"] == "done_ok"
        assert of_try.attributes["http.response.status_code"] == 200
        assert not of_try.failed
        assert traces_told(there) == [f"00-{of_try.trace_id}-{of_try.span_id}-03".encode()]
        assert b"tracestate" not in there.heads[0]
        assert CANARY not in str(taking.spans)


async def test_each_try_is_a_span_and_is_its_instances_parent() -> None:
    async with (
        origin(origins.resets_after_request_read, "bad") as bad,
        origin(counts_requests, "good") as good,
    ):
        async with traced(bad, good) as (running, taking):
            while not bad.requests:
                assert (await ask(running.port, "GET", "/open/a")).status == 200
        (failed,) = [span for span in taking.tries() if span.failed]
        (second,) = [span for span in taking.tries() if span.attributes["quaymaster.attempt"] == 2]
        assert failed.attributes["error.type"] == failed.attributes["quaymaster.outcome"] == "wait_reset"
        assert "http.response.status_code" not in failed.attributes
        assert second.attributes["quaymaster.retry_reason"] == "wait_reset"
        assert second.attributes["http.request.resend_count"] == 1
        assert (second.trace_id, second.parent_id) == (failed.trace_id, failed.parent_id)
        assert traces_told(bad) == [f"00-{failed.trace_id}-{failed.span_id}-03".encode()]
        told = {
            f"00-{span.trace_id}-{span.span_id}-03".encode() for span in taking.tries() if not span.failed
        }
        assert set(traces_told(good)) == told


async def test_a_callers_trace_goes_on_through_the_gateway() -> None:
    async with origin(counts_requests) as there:
        headers = (f"traceparent: 00-{TRACE}-{SPAN}-01", "tracestate: a=1", "TraceState: b=2=")
        fine = (*headers[:2], "TraceState: b=2")
        async with traced(there, sample=0) as (running, taking):
            await ask(running.port, "GET", "/open/a", *fine)
            await ask(running.port, "GET", "/open/b", *headers)
            await ask(running.port, "GET", "/open/c")
        assert {span.trace_id for span in taking.spans} == {TRACE}, "its caller records it; nobody the third"
        assert {span.parent_id for span in taking.requests()} == {SPAN}
        with_state, without, third = there.heads
        assert b"\r\ntracestate: a=1,b=2\r\n" in with_state
        assert b"tracestate" not in without.lower()
        (told,) = [value for value in traces_told(there) if TRACE.encode() not in value]
        assert told in third, "made also when it is not recorded"
        assert told.endswith(b"-02")


async def test_a_caller_that_does_not_record_its_trace_is_believed() -> None:
    async with origin(counts_requests) as there:
        async with traced(there) as (running, taking):
            await ask(running.port, "GET", "/open/a", f"traceparent: 00-{TRACE}-{SPAN}-00")
        assert taking.spans == []
        (told,) = traces_told(there)
        assert told.startswith(f"00-{TRACE}-".encode())
        assert told.endswith(b"-00")
        assert SPAN.encode() not in told


async def test_what_the_gateway_refuses_is_a_span_with_its_reason() -> None:
    async with traced() as (running, taking):
        await ask(running.port, "GET", "/nowhere")
        await ask(running.port, "GET", "/open/a")
        await ask(running.port, "PROPFIND", "/open/a")
        await ask(running.port, "GET", "/mine/a", f"token: {token('ada')}")
        await ask(running.port, "GET", "/health/live")
    unknown, refused, brewed, of_a_user = taking.requests()
    assert (unknown.name, unknown.attributes["error.type"], unknown.failed) == ("GET", "no_route", False)
    assert "http.route" not in unknown.attributes
    assert (refused.attributes["http.response.status_code"], refused.failed) == (502, True)
    assert refused.attributes["error.type"] == "upstream_refused"
    assert brewed.name.startswith("_OTHER")
    assert brewed.attributes["http.request.method"] == "_OTHER"
    assert brewed.attributes["http.request.method_original"] == "PROPFIND"
    assert "ada" not in str(of_a_user)


@pytest.mark.parametrize("fault", [{"status": 400}, {"hangs": True}])
async def test_a_collector_that_takes_nothing_costs_spans_and_no_request(fault: dict[str, Any]) -> None:
    async with collector(**fault) as taking:
        tracing = Spans(TracingSettings(enabled=True, endpoint=taking.url, queue=2), "1.0")
        for _ in range(20):
            tracing.begin(None).end(exchange_for(unsent_request("GET", "/")), 200)
        await tracing.close(0.3)
    found = tracing.spans()
    assert found["exported"] == 0
    assert found["dropped"] > 0, "what waits is bounded"
    assert found["dropped"] + found["failed"] <= 20


async def test_the_last_spans_are_sent_when_the_gateway_ends() -> None:
    async with collector() as taking:
        tracing = Spans(TracingSettings(enabled=True, endpoint=f"{taking.url}/at/a/path"), "1.0")
        span = tracing.begin(TraceContext(TRACE, SPAN, 1, "a=1,b=2"))
        assert span.trace_id == TRACE
        span.end(exchange_for(unsent_request("GET", "/")), 499)
        await tracing.close(10)
    assert taking.paths == ["/at/a/path"]
    (seen,) = taking.spans
    assert (seen.parent_id, seen.state, seen.attributes["error.type"]) == (SPAN, "a=1,b=2", "client_closed")
    assert "http.response.status_code" not in seen.attributes
    assert dict(tracing.spans()) == {"exported": 1, "failed": 0, "dropped": 0}
