"""What the operator wrote: every key of DESIGN 4 with its default, and the checks that need one section.

Rules of this file: a model knows its own section only; what concerns two sections is in
settings_checks.py. Durations carry their unit in the name. `settings.py` is the door to all of it.
"""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from balancer.model import CallPolicy, RetryClass, Timeouts
from balancer.policy import ServicePolicy
from gateway.limiters import LIMITERS
from gateway.settings_handlers import HandlersSettings
from gateway.settings_registry import RegistrySettings
from gateway.settings_routes import RouteSettings, chat_routes, chat_services
from gateway.settings_services import ServiceSettings
from gateway.settings_types import (
    Bytes,
    Cidr,
    Count,
    CountOrZero,
    Header,
    LongSecret,
    Method,
    Name,
    NotEmpty,
    OneOf,
    Origin,
    Port,
    RedisUrl,
    Seconds,
    SecondsOrZero,
    Secret,
    Section,
    Text,
    Zone,
)
from handlers.stores import STORES
from registry.health_checks import HealthCheckPolicy
from registry.model import ServiceName

LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
HMAC = frozenset({"HS256"})


class ListenSettings(Section):
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Port = 8000
    trusted_proxies: tuple[Cidr, ...] = ()
    """Whose X-Forwarded-For and -Proto are believed."""
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


class IdentitySettings(Section):
    algorithms: Annotated[tuple[Literal["HS256", "RS256", "ES256", "EdDSA"], ...], NotEmpty] = ("HS256",)
    secret: LongSecret = None
    """For HS256, at least 32 bytes."""
    public_key: Text = None
    """PEM, for RS256, ES256 and EdDSA."""
    public_key_file: Text = None
    """A file with that PEM instead."""
    issuer: Text = None
    audience: Text = None
    leeway_s: SecondsOrZero = 30
    user_claim: Annotated[tuple[str, ...], NotEmpty] = ("sub", "uid", "user_id")
    """The first of these that a token has names its user."""

    @field_validator("algorithms")
    @classmethod
    def _one_kind_of_key(cls, algorithms: tuple[str, ...]) -> tuple[str, ...]:
        if HMAC & set(algorithms) and set(algorithms) - HMAC:
            raise ValueError(
                "HS256 can't stand beside an algorithm with a public key: whoever has that key could sign"
            )
        return algorithms

    @field_validator("secret")
    @classmethod
    def _secret_is_used(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if secret and not HMAC & set(info.data.get("algorithms", HMAC)):
            raise ValueError("is for HS256, which algorithms does not name")
        return secret

    @field_validator("public_key", "public_key_file")
    @classmethod
    def _public_key_is_used(cls, key: str | None, info: ValidationInfo) -> str | None:
        if key and HMAC & set(info.data.get("algorithms", ())):
            raise ValueError("is for RS256, ES256 and EdDSA: set algorithms to the one it is for")
        return key

    @field_validator("public_key_file")
    @classmethod
    def _one_public_key(cls, file: str | None, info: ValidationInfo) -> str | None:
        if file and info.data.get("public_key"):
            raise ValueError("set public_key or public_key_file, not both")
        return file

    @property
    def symmetric(self) -> bool:
        return bool(HMAC & set(self.algorithms))

    @property
    def has_key(self) -> bool:
        """Whether tokens can be verified at all."""
        return bool(self.secret) if self.symmetric else bool(self.public_key or self.public_key_file)


class InternalSettings(Section):
    networks: tuple[Cidr, ...] = LOOPBACK
    """Who needs no key."""
    key: Secret = None
    """What X-Internal-Key must hold from elsewhere."""

    @field_validator("key")
    @classmethod
    def _not_guessable(cls, key: SecretStr | None) -> SecretStr | None:
        if key and len(key.get_secret_value()) < 16:
            raise ValueError("must have at least 16 characters")
        return key


class LimitsSettings(Section):
    """Requests per sliding window; null is unlimited."""

    window_s: Seconds = 60
    per_address: CountOrZero | None = 1000
    """Callers without a verified token."""
    per_user: CountOrZero | None = 1000
    tiers: dict[str, CountOrZero | None] = Field(default_factory=dict)
    """By the token's `tier` claim."""


class CorsSettings(Section):
    origins: tuple[Origin, ...] = ()
    methods: tuple[Method, ...] = ()
    """Empty: whatever a preflight asks for."""
    headers: tuple[Header, ...] = ()
    """Empty: whatever a preflight asks for."""
    credentials: bool = False
    max_age_s: Annotated[int, Field(ge=0, le=86_400)] = 600

    @field_validator("credentials")
    @classmethod
    def _not_for_everybody(cls, credentials: bool, info: ValidationInfo) -> bool:
        if credentials and "*" in info.data.get("origins", ()):
            raise ValueError("can't be true while origins has *: list the origins that may send credentials")
        return credentials


class LoggingSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


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
    logging: LoggingSettings = LoggingSettings()

    def policy(self, route: RouteSettings, method: str) -> CallPolicy:
        """How a call of this route and method is carried out."""
        service = self.services[route.service]
        return CallPolicy(
            service=ServiceName(route.service),
            retry=route.retry_for(method),
            timeouts=route.timeouts.over(service.timeouts.over(Timeouts())),
            max_attempts=service.max_attempts,
            hedge=route.hedge and route.retry_for(method) is RetryClass.SAFE,
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
