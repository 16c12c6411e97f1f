"""A collector of traces that speaks OTLP over HTTP, on a real socket, and its faults."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2

SERVER, CLIENT = trace_pb2.Span.SPAN_KIND_SERVER, trace_pb2.Span.SPAN_KIND_CLIENT
ERROR = trace_pb2.Status.STATUS_CODE_ERROR


@dataclass(frozen=True, slots=True)
class Seen:
    """One span as it came."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    failed: bool
    attributes: dict[str, Any]


@dataclass(slots=True)
class Collector:
    url: str = ""
    hangs: bool = False
    """It takes what it is sent and never answers."""
    status: int = 200
    spans: list[Seen] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        body = await request.read()
        if self.hangs:
            await asyncio.Event().wait()
        if self.status == 200:
            self._read(gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body)
        return web.Response(status=self.status)

    def _read(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(_plain(resource.resource.attributes))
            for scope in resource.scope_spans:
                self.spans += [
                    Seen(
                        span.name,
                        span.kind,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.trace_state,
                        span.status.code == ERROR,
                        _plain(span.attributes),
                    )
                    for span in scope.spans
                ]

    def requests(self) -> list[Seen]:
        return [span for span in self.spans if span.kind == SERVER]

    def tries(self) -> list[Seen]:
        """In the order in which they were made."""
        found = [span for span in self.spans if span.kind == CLIENT]
        return sorted(found, key=lambda span: span.attributes["quaymaster.attempt"])


@asynccontextmanager
async def collector(**fault: Any) -> AsyncIterator[Collector]:
    """A collector on a free port; `fault` is what is wrong with it."""
    taking = Collector(**fault)
    app = web.Application()
    app.router.add_post("/{path:.*}", taking.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        taking.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield taking
    finally:
        await runner.cleanup()


def _plain(attributes: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in attributes}


def _value(value: AnyValue) -> Any:
    return getattr(value, str(value.WhichOneof("value")))
