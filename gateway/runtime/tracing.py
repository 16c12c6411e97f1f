"""Spans for requests and for each of their tries, where `tracing.enabled` says so.

What makes them is in tracing_spans.py, which imports OpenTelemetry: an extra that nobody else needs.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from gateway.runtime.exchange import RequestSpan
from gateway.runtime.rules import StartFailed
from gateway.settings_telemetry import TracingSettings
from gateway.trace_context import TraceContext

FLUSH_S = 3.0
"""How long the end of a process waits for its last spans to be sent."""

MISSING = (
    "tracing.enabled: OpenTelemetry is not installed: pip install 'quaymaster[otel]', or set it to false"
)


class Tracing(Protocol):
    """Where spans begin."""

    def begin(self, caller: TraceContext | None) -> RequestSpan:
        """A request begins, in the trace of its caller or in a new one."""
        ...

    def spans(self) -> Mapping[str, int]:
        """How many were `exported`, `failed` to be, or were `dropped` because too many waited."""
        ...

    async def close(self, patience_s: float) -> None:
        """Sends what waits, for so long at most."""
        ...


def require_opentelemetry() -> None:
    """Raises `StartFailed` where the extra `otel` is not installed."""
    try:
        import gateway.runtime.tracing_spans  # noqa: F401 -- only whether it can be
    except ModuleNotFoundError as missing:
        if not (missing.name or "").startswith("opentelemetry"):
            raise
        raise StartFailed(MISSING) from None


@asynccontextmanager
async def opened_tracing(settings: TracingSettings, version: str) -> AsyncIterator[Tracing | None]:
    """`None` where nothing is traced. Raises `StartFailed` when what it needs is not installed."""
    if not settings.enabled:
        yield None
        return
    require_opentelemetry()
    from gateway.runtime.tracing_spans import Spans

    tracing = Spans(settings, version)
    try:
        yield tracing
    finally:
        await tracing.close(FLUSH_S)
