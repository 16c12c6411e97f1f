"""What the operator wrote: every key of DESIGN 4 with its default, and the checks that need one section.

Rules of this file: a model knows its own section only; what concerns two sections is in
settings_checks.py. Durations carry their unit in the name. `settings.py` is the door to all of it.
"""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from balancer.model import CallPolicy, RetryClass, Timeouts
from balancer.policy import ServicePolicy
from gateway.limiters import LIMITERS
from gateway.settings_handlers import HandlersSettings
from gateway.settings_routes import RouteSettings, chat_routes, chat_services
from gateway.settings_services import ServiceSettings
from gateway.settings_types import (
    Address,
    Bytes,
    Cidr,
    Count,
    CountOrZero,
    Header,
    Host,
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
from registry.backends import BACKENDS
from registry.backends.base import BackendSettings
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


class RegistrySettings(Section):
    backend: Annotated[str, OneOf(BACKENDS, "registry backend")] = "embedded"
    address: Address = "127.0.0.1:8500"
    """`host:port`. With `embedded`, where the agent listens; with `consul`, where it is."""
    fallback_addresses: tuple[Address, ...] = ()
    """Further agents of the same Consul, asked in turn while the one before does not answer."""
    token: Secret = None
    data_dir: Text = None
    """Where the embedded agent keeps its journal; null: in memory only."""
    allowed_networks: tuple[Cidr, ...] = ()
    """Where instances may live. Empty: anywhere but link-local, multicast and unspecified."""
    scheme: Literal["http", "https"] = "http"
    ca_file: Text = None
    cert_file: Text = None
    key_file: Text = None
    wait_s: Annotated[Seconds, Field(le=600)] = 30
    """How long a blocking query may wait."""
    suspect_s: SecondsOrZero = 10
    """How long a mass removal is doubted."""
    snapshot_file: Text = None
    """Where the last good state is kept, for a start while the registry is down; null: nowhere."""
    snapshot_max_age_s: Seconds = 600
    """An older one is not believed."""
    register_as: Annotated[Name | None, BeforeValidator(lambda name: name or None)] = "quaymaster"
    """The name the gateway registers itself under; null: it does not."""
    advertise_address: Host = None
    """Where others reach the gateway; null: listen.host."""

    @field_validator("address")
    @classmethod
    def _can_be_reached(cls, address: str, info: ValidationInfo) -> str:
        if address.endswith(":0") and info.data.get("backend") == "consul":
            raise ValueError("must name Consul's port; 0, for any free one, is for the embedded agent")
        return address

    @field_validator("fallback_addresses")
    @classmethod
    def _further_ones(cls, addresses: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if addresses and info.data.get("backend") not in ("consul", None):
            raise ValueError("are further Consul agents: set registry.backend: consul, or remove them")
        if any(address.endswith(":0") for address in addresses):
            raise ValueError("must name Consul's port")
        if len({*addresses, info.data.get("address")}) <= len(addresses):
            raise ValueError("names an agent twice: list each once, and not the one of registry.address")
        return addresses

    @field_validator("snapshot_file")
    @classmethod
    def _registry_is_elsewhere(cls, file: str | None, info: ValidationInfo) -> str | None:
        backend = info.data.get("backend")
        if file is not None and backend not in ("consul", None):
            fix = " (registry.data_dir keeps what the embedded agent knows)" if backend == "embedded" else ""
            raise ValueError(
                f"is for a registry that may be down: set registry.backend: consul, or null{fix}"
            )
        return file

    @field_validator("scheme")
    @classmethod
    def _embedded_speaks_http(cls, scheme: str, info: ValidationInfo) -> str:
        if scheme == "https" and info.data.get("backend") not in ("consul", None):
            raise ValueError("https needs registry.backend: consul")
        return scheme

    @field_validator("key_file")
    @classmethod
    def _tls_is_whole(cls, key_file: str | None, info: ValidationInfo) -> str | None:
        cert_file, ca_file = info.data.get("cert_file"), info.data.get("ca_file")
        if bool(cert_file) != bool(key_file):
            raise ValueError("cert_file and key_file need each other: set both or none")
        if (cert_file or ca_file) and info.data.get("scheme") == "http":
            raise ValueError("ca_file, cert_file and key_file need registry.scheme: https")
        return key_file

    def backend_settings(self, services: dict[str, ServiceSettings]) -> BackendSettings:
        """This section as the registry's backends want it, with the fixed addresses of the services."""
        return BackendSettings(
            address=self.address,
            fallback_addresses=self.fallback_addresses,
            token=self.token.get_secret_value() if self.token else "",
            scheme=self.scheme,
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
            data_dir=self.data_dir,
            allowed_networks=tuple(str(network) for network in self.allowed_networks),
            wait_s=self.wait_s,
            static={ServiceName(name): s.instances for name, s in services.items() if s.instances},
        )


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
