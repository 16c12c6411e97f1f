import sys

import pytest

from balancer.outcome import SUCCESS
from gateway.runtime.rules import StartFailed
from gateway.runtime.tracing import MISSING, opened_tracing
from gateway.settings_telemetry import TracingSettings
from tests.balancer.origins import counts_requests, instance_at, origin
from tests.gateway.runtime.collectors import collector
from tests.gateway.runtime.gateways import ask, gateway, said

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
INSTANCE = instance_at(9, "a")


async def test_off_is_nothing_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    without_packages(monkeypatch)
    async with opened_tracing(TracingSettings(), "1.0") as tracing:
        assert tracing is None


async def test_what_is_traced_is_sent_before_the_end() -> None:
    async with collector() as taking:
        settings = TracingSettings(enabled=True, endpoint=taking.url)
        async with opened_tracing(settings, "1.0") as tracing:
            assert tracing is not None
            tracing.begin(None).try_at(INSTANCE, 1, "").end(SUCCESS, 200)
        assert len(taking.tries()) == 1


async def test_without_its_packages_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    without_packages(monkeypatch)
    with pytest.raises(StartFailed, match=r"quaymaster\[otel\]") as failed:
        async with opened_tracing(TracingSettings(enabled=True), "1.0"):
            pass
    assert str(failed.value) == MISSING


def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gateway.runtime.tracing_spans", raising=False)
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)


async def test_without_spans_of_our_own_a_callers_trace_is_passed_on_as_it_came() -> None:
    async with origin(counts_requests) as there, gateway(there.instance) as running:
        for headers in [
            (f"traceparent: {PARENT}", "tracestate: a=1", "tracestate: b=2"),
            (f"traceparent: {PARENT}", "tracestate: A=1"),
            (f"traceparent: {PARENT}", f"Traceparent: {PARENT}", "tracestate: a=1"),
            ("traceparent: 00-1-2-03", "TraceState: a=1"),
            (),
        ]:
            await ask(running.port, "GET", "/open/a", *headers)
    told = [(said(head, "traceparent"), said(head, "tracestate")) for head in there.heads]
    assert told == [([PARENT], ["a=1", "b=2"]), ([PARENT], []), ([], []), ([], []), ([], [])]
