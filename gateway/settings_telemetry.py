"""The part of the settings about what operators get to see: logs, traces, health and the API's description.

Rules of this file: as in settings_model.py.
"""

from typing import Annotated, Literal

from pydantic import Field

from gateway.caches import CACHES
from gateway.settings_types import (
    CacheUrl,
    Count,
    HttpUrl,
    LocalPath,
    OneOf,
    ProbeUrl,
    Seconds,
    Section,
    Share,
    Text,
)

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


class LoggingSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Can be changed while the gateway runs: /admin/logging. Requests are at info; slow ones, 5xx and
    answers that were cut short at warning."""
    format: Literal["json", "console"] = "json"
    access: bool = True
    """Whether requests have lines at all."""
    sample: Share = 1
    """The share of requests with a line, evenly; those at warning always have one."""
    slow_s: Seconds = 1
    """From there on a request is slow."""
    service: Label = "gateway"
    """What lines say their service is when no service was called."""


class TracingSettings(Section):
    """OpenTelemetry, by the extra `quaymaster[otel]`. `traceparent` is passed on also without it."""

    enabled: bool = False
    endpoint: HttpUrl = None
    """Where spans go by OTLP over HTTP, to the usual path where it names none; null: what
    OTEL_EXPORTER_OTLP_ENDPOINT says."""
    sample: Share = 1
    """The share of traces begun here that are recorded; a caller's own decision holds for its traces."""
    service: Label = "quaymaster"
    queue: Count = 2048
    """Spans that wait to be sent; more are dropped and counted."""


class ProbeSettings(Section):
    """Something that the system depends on, asked now and then."""

    url: ProbeUrl = None
    """tcp://host:port, http(s)://…, redis(s)://… or postgresql://host:5432/db; null: not asked."""
    interval_s: Seconds = 10
    timeout_s: Seconds = 2
    required: bool = False
    """Whether the gateway is not ready without it."""


class HealthSettings(Section):
    services: Literal["full", "brief", "none"] = "full"
    """What `/health` says of each service and probe: status and response time, `up` or `down`, or nothing."""
    aliases: tuple[LocalPath, ...] = ()
    """Other paths of `/health`, such as /api/health/."""
    environment: Text = None
    """Shown by `/health`."""
    version: Text = None
    """Shown by `/health`; null: Quaymaster's own."""
    probes: dict[Label, ProbeSettings] = Field(default_factory=dict)


class DocsSettings(Section):
    """`/openapi.json` and `/docs`."""

    enabled: bool = True
    access: Literal["public", "internal"] = "public"
    title: Annotated[str, Field(min_length=1, max_length=200)] = "Quaymaster"
    version: Text = None
    refresh_s: Seconds = 60
    """How old what services say of themselves may get (services.*.openapi)."""


class CacheSettings(Section):
    """Where answers of routes with `cache` are kept."""

    backend: Annotated[str, OneOf(CACHES, "cache")] = "memory"
    url: CacheUrl = None
    """Where a shared cache is; null: where the store is. As answers fill a Redis, best is one of its own."""
    max_bytes: Count = 64 * 1024 * 1024
    """In memory; a Redis has its own `maxmemory`."""
    max_entry_bytes: Count = 1024 * 1024
    """A longer answer is not kept."""
