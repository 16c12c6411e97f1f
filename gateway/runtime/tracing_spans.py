"""Spans on OpenTelemetry's API and SDK, named as its semantic conventions for HTTP name them.

Rules of this file: nothing here waits. Spans that have ended are sent by a thread of the SDK's; what it has
no room for is dropped and counted. No query, no header, no user: what is secret stays out of traces.
"""

import asyncio
from collections.abc import Mapping, Sequence
from threading import Thread
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)

from balancer.outcome import Outcome
from gateway.runtime.exchange import NO_ROUTE, Exchange
from gateway.settings_telemetry import TracingSettings
from gateway.target import CARRIED
from gateway.trace_context import TRACEPARENT, TRACESTATE, TraceContext, traceparent
from registry.model import Instance

BATCH = 512
EXPORT_S = 5.0
"""How long one batch may take, its repeats included."""
TRACES = "v1/traces"
"""Where a collector takes spans, if its address says no path."""

CLIENT_CLOSED = 499
"""Nobody was sent it."""

Value = str | int


class Spans:
    """All spans of one gateway. Used from one event loop only."""

    def __init__(self, settings: TracingSettings, version: str) -> None:
        self._exporter = _Counting(OTLPSpanExporter(_with_path(settings.endpoint), timeout=EXPORT_S))
        self._queue = _Bounded(self._exporter, settings.queue)
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.sample)),
            resource=Resource.create({"service.name": settings.service, "service.version": version}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(self._queue)
        self._tracer = self._provider.get_tracer("quaymaster", version)

    def begin(self, caller: TraceContext | None) -> "OneRequest":
        return OneRequest(self._tracer, _nobody() if caller is None else _remote(caller))

    def spans(self) -> Mapping[str, int]:
        exporter = self._exporter
        return {"exported": exporter.exported, "failed": exporter.failed, "dropped": self._queue.dropped}

    async def close(self, patience_s: float) -> None:
        """The SDK's own end takes up to half a minute: it goes on in a thread, and what that still finds is
        given up."""
        end = Thread(target=self._provider.shutdown, name="tracing_end", daemon=True)
        end.start()
        await asyncio.to_thread(end.join, patience_s)
        self._exporter.given_up = True


class OneRequest:
    """The span of a request at this gateway; the tries are its children."""

    __slots__ = ("_context", "_span", "_tracer", "trace_id")

    def __init__(self, tracer: Tracer, caller: Context) -> None:
        self._tracer = tracer
        self._span = tracer.start_span("request", caller, SpanKind.SERVER)
        self._context = set_span_in_context(self._span, caller)
        self.trace_id = f"{self._span.get_span_context().trace_id:032x}"

    def try_at(self, instance: Instance, attempt: int, reason: str) -> "OneTry":
        return OneTry(self._tracer, self._context, instance, attempt, reason)

    def end(self, exchange: Exchange, status: int) -> None:
        span = self._span
        if exchange.quiet and status < 400:
            return  # A span that does not end is sent nowhere.
        if span.is_recording():
            method = exchange.request.method
            span.update_name(
                f"{_named(method)} {exchange.route}" if exchange.route != NO_ROUTE else _named(method)
            )
            span.set_attributes(_attributes(exchange, status))
            if status >= 500 or (exchange.reason is not None and status < 400):
                span.set_status(Status(StatusCode.ERROR))
        span.end()


class OneTry:
    """The span of one try at one instance."""

    __slots__ = ("_span", "headers")

    def __init__(
        self, tracer: Tracer, request: Context, instance: Instance, attempt: int, reason: str
    ) -> None:
        attributes: dict[str, Value] = {
            "server.address": instance.host,
            "server.port": instance.port,
            "quaymaster.service": instance.service,
            "quaymaster.instance": instance.id,
            "quaymaster.attempt": attempt,
        }
        if attempt > 1:
            attributes["http.request.resend_count"] = attempt - 1
        if reason:
            attributes["quaymaster.retry_reason"] = reason
        span = tracer.start_span(f"try {instance.service}", request, SpanKind.CLIENT, attributes)
        self._span = span
        self.headers = _headers(span)

    def end(self, outcome: Outcome, status: int | None) -> None:
        span = self._span
        if span.is_recording():
            span.set_attribute("quaymaster.outcome", outcome.label)
            if status is not None:
                span.set_attribute("http.response.status_code", status)
            if not outcome.ok or (status is not None and status >= 400):
                span.set_attribute("error.type", str(status) if outcome.ok else outcome.label)
                span.set_status(Status(StatusCode.ERROR))
        span.end()


class _Counting(SpanExporter):
    """Called by the SDK's thread; what it counts is read by the loop."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.taken = 0
        self.exported = 0
        self.failed = 0
        self.given_up = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = SpanExportResult.FAILURE if self.given_up else self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.exported += len(spans)
        else:
            self.failed += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _Bounded(BatchSpanProcessor):
    """The SDK's own bound drops what has waited longest, and only logs it."""

    def __init__(self, exporter: _Counting, most: int) -> None:
        super().__init__(exporter, max_queue_size=most, max_export_batch_size=min(BATCH, most))
        self._exporter = exporter
        self._most = most
        self._ended = 0
        self.dropped = 0

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._ended - self._exporter.taken >= self._most:
            self.dropped += 1
            return
        self._ended += 1
        super().on_end(span)


def _attributes(exchange: Exchange, status: int) -> dict[str, Value]:
    request, reason = exchange.request, exchange.reason
    major, minor = request.version
    found: dict[str, Value] = {
        "http.request.method": _named(request.method),
        "url.path": exchange.target.path,
        "url.scheme": "http",
        "client.address": exchange.client.address,
        "network.protocol.version": f"{major}.{minor}",
        "quaymaster.request_id": exchange.request_id,
        "quaymaster.attempts": exchange.attempts,
    }
    optional = {
        "http.route": exchange.route if exchange.route != NO_ROUTE else None,
        "http.request.method_original": request.method if request.method not in CARRIED else None,
        "http.response.status_code": status if status != CLIENT_CLOSED else None,
        "quaymaster.service": exchange.service,
        "quaymaster.instance": exchange.instance,
        "quaymaster.version": exchange.version,
        "quaymaster.cache": exchange.cache,
        "error.type": _error_type(reason, status),
    }
    return found | {name: value for name, value in optional.items() if value is not None}


def _error_type(reason: str | None, status: int) -> str | None:
    if status == CLIENT_CLOSED:
        return reason or "client_closed"
    return reason or (str(status) if status >= 500 else None)


def _named(method: str) -> str:
    """A method of which there are few: names of spans are grouped by."""
    return method if method in CARRIED else "_OTHER"


def _nobody() -> Context:
    """An empty one: the SDK would otherwise look for a parent among its own."""
    return Context()


def _remote(caller: TraceContext) -> Context:
    members = [member.partition("=") for member in caller.state.split(",") if member]
    context = SpanContext(
        trace_id=int(caller.trace_id, 16),
        span_id=int(caller.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(caller.flags),
        trace_state=TraceState([(key, value) for key, _, value in members]),
    )
    return set_span_in_context(NonRecordingSpan(context), Context())


def _headers(span: Span) -> tuple[tuple[bytes, bytes], ...]:
    context = span.get_span_context()
    parent = traceparent(f"{context.trace_id:032x}", f"{context.span_id:016x}", context.trace_flags)
    named = (TRACEPARENT, parent.encode())
    state = context.trace_state.to_header()
    return (named, (TRACESTATE, state.encode())) if state else (named,)


def _with_path(endpoint: str | None) -> str | None:
    """As OTEL_EXPORTER_OTLP_ENDPOINT is read, which holds where the settings name none."""
    if endpoint is None or urlsplit(endpoint).path.strip("/"):
        return endpoint
    return f"{endpoint.rstrip('/')}/{TRACES}"
