"""What the operator wrote: every key of DESIGN 4 with its default, and the checks that need one section.

Rules of this file: a model knows its own section only; what concerns two sections is in
settings_checks.py. Durations carry their unit in the name. `settings.py` is the door to all of it.
"""

from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from balancer.model import CallPolicy, RetryClass, Subset, Timeouts
from balancer.policy import ServicePolicy
from gateway.denylists import DENYLISTS
from gateway.limiters import LIMITERS
from gateway.settings_handlers import HandlersSettings
from gateway.settings_identity import IdentitySettings, InternalSettings
from gateway.settings_limits import CorsSettings, LimitsSettings
from gateway.settings_registry import RegistrySettings
from gateway.settings_routes import RouteSettings, chat_routes, chat_services
from gateway.settings_services import ServiceSettings
from gateway.settings_telemetry import (
    CacheSettings,
    DocsSettings,
    HealthSettings,
    LoggingSettings,
    TracingSettings,
)
from gateway.settings_types import (
    AllowedHost,
    Bytes,
    Cidr,
    Count,
    Listed,
    Name,
    OneOf,
    Port,
    RedisUrl,
    Seconds,
    SecondsOrZero,
    Section,
    Text,
    Zone,
)
from handlers.stores import STORES
from registry.health_checks import HealthCheckPolicy
from registry.model import ServiceName


class ListenSettings(Section):
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Port = 8000
    trusted_proxies: Annotated[tuple[Cidr, ...], Listed] = ()
    """Whose X-Forwarded-For and -Proto, or Forwarded, are believed."""
    proxy_protocol: bool = False
    """Whether connections of trusted proxies begin with a PROXY protocol header, version 1 or 2."""
    allowed_hosts: Annotated[tuple[AllowedHost, ...], Listed] = ()
    """The names that clients may ask for, others get 421; empty: any."""
    process_time: bool = False
    """Whether answers say in X-Process-Time how many seconds they took."""
    max_body_bytes: Bytes = 10 * 1024 * 1024
    """A longer request body is refused with 413."""
    max_connections: Count = 10_000
    """More clients at a time are turned away with 503."""
    max_in_flight: Count = 5_000
    """More requests at a time are refused with 503; WebSockets don't count."""
    max_queue_s: Seconds = 0.1
    """The longest that requests wait for their turn while more come than can be carried out; five times as
    long in a burst. The others are refused with 503."""
    max_header_bytes: Annotated[int, Field(ge=1024, le=1 << 20)] = 64 * 1024
    """All headers of a request together; longer ones get 431."""
    max_headers: Annotated[int, Field(ge=8, le=1024)] = 128
    """More headers get 431."""
    header_s: Seconds = 10
    """For a request's headers, from their first byte; also for a new connection's first request."""
    body_idle_s: Seconds = 10
    """A request body of which nothing comes for so long is given up with 408."""
    keepalive_s: Seconds = 75
    """How long a connection is kept for another request."""
    handover: Text = None
    """A path: whoever is started with the same one takes the listening socket over, and this one drains."""
    drain_s: SecondsOrZero = 5
    """How long after SIGTERM new requests are still taken."""
    shutdown_timeout_s: Seconds = 30
    """How long requests in flight may take to finish."""

    @field_validator("proxy_protocol")
    @classmethod
    def _has_somebody_to_believe(cls, wanted: bool, info: ValidationInfo) -> bool:
        if wanted and not info.data.get("trusted_proxies", True):
            raise ValueError("is for connections of trusted_proxies, and there are none: name them")
        return wanted


class StoreSettings(Section):
    backend: Annotated[str, OneOf(STORES, "store")] = "memory"
    url: RedisUrl = SecretStr("redis://127.0.0.1:6379/0")
    """Where a shared store is. Its options `socket_timeout` and `socket_connect_timeout` are seconds."""

    @property
    def shared(self) -> bool:
        """Whether several gateways hand out the same seats."""
        return self.backend != "memory"

    @property
    def limiter(self) -> str:
        """What counts requests: the limiter of the store's name, else each gateway for itself."""
        return self.backend if self.backend in LIMITERS else "memory"

    @property
    def denylist(self) -> str:
        """What knows of revoked tokens: the denylist of the store's name, else each gateway for itself."""
        return self.backend if self.backend in DENYLISTS else "memory"


class Settings(Section):
    """All settings. Built by `load_settings`, which also holds what concerns two sections."""

    listen: ListenSettings = ListenSettings()
    registry: RegistrySettings = RegistrySettings()
    store: StoreSettings = StoreSettings()
    identity: IdentitySettings = IdentitySettings()
    internal: InternalSettings = InternalSettings()
    services: dict[Name, ServiceSettings] = Field(default_factory=chat_services)
    routes: tuple[RouteSettings, ...] = Field(default_factory=chat_routes)
    handlers: HandlersSettings | None = HandlersSettings()
    """Null: no handlers."""
    handout_ttl_s: Seconds = 10
    """How long an instance handed to a peer counts as in use."""
    zone: Zone = ""
    """Where this gateway is; instances whose meta says the same come first. Empty: zones don't count."""
    limits: LimitsSettings = LimitsSettings()
    cors: CorsSettings = CorsSettings()
    cache: CacheSettings = CacheSettings()
    logging: LoggingSettings = LoggingSettings()
    tracing: TracingSettings = TracingSettings()
    health: HealthSettings = HealthSettings()
    docs: DocsSettings = DocsSettings()

    def policy(
        self, route: RouteSettings, method: str, name: str | None = None, subset: Subset | None = None
    ) -> CallPolicy:
        """How a call of this route and method is carried out, by that service if not by the route's own."""
        name = name or route.service
        assert name is not None, "the settings have seen to it"
        service = self.services[name]
        return CallPolicy(
            service=ServiceName(name),
            retry=route.retry_for(method),
            timeouts=route.timeouts.over(service.timeouts.over(Timeouts())),
            max_attempts=service.max_attempts,
            hedge=route.hedge and route.retry_for(method) is RetryClass.SAFE,
            subset=subset,
        )

    def service_policies(self) -> dict[ServiceName, ServicePolicy]:
        """How the instances of each service are chosen and judged."""
        return {ServiceName(name): service.policy(self.zone) for name, service in self.services.items()}

    def fixed_addresses(self) -> dict[ServiceName, tuple[str, ...]]:
        """The URLs of the services that no registry is asked for."""
        return {ServiceName(name): s.instances for name, s in self.services.items() if s.instances}

    def health_checks(self) -> dict[ServiceName, HealthCheckPolicy]:
        """The services whose instances the gateway asks itself."""
        return {
            ServiceName(name): service.health_check.policy()
            for name, service in self.services.items()
            if service.health_check is not None
        }

    def body_limit(self, route: RouteSettings) -> int:
        """In bytes."""
        return self.listen.max_body_bytes if route.max_body_bytes is None else route.max_body_bytes
