"""What a backend can do: two small promises, so that a backend that only reads need not pretend.

A backend module has one entry, `open_backend`, an async context manager that yields a `Backend`.
`BACKENDS` in `__init__.py` names the modules.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from registry.model import Failed, Health, InstanceId, ServiceName, Update


class Watch(Protocol):
    """Tells who exists. Both streams never end by themselves: a failure is a value in them."""

    @property
    def index_resets(self) -> int:
        """How often a stream started anew because the registry's index went backwards."""
        ...

    @property
    def failovers(self) -> int:
        """How often it went from one address of the registry to another."""
        ...

    def watch(self, service: ServiceName) -> AsyncGenerator[Update, None]:
        """What the registry says of one service: at once, and then whenever that changes.

        An update need not differ from the one before, and comes at least every `wait_s` or so: a
        stream that stays silent is broken. Close the generator to stop watching.
        """
        ...

    def watch_names(self) -> AsyncGenerator[frozenset[ServiceName] | Failed, None]:
        """The names of all services, likewise."""
        ...


@dataclass(frozen=True, slots=True)
class Registration:
    """What a process says of itself. `address` empty means: the agent's own node.

    Exactly one kind of check: a TTL that the process must feed (`ttl_s`), or a URL that the agent
    asks (`check_http`, every `interval_s`).
    """

    id: InstanceId
    service: ServiceName
    port: int
    address: str = ""
    tags: tuple[str, ...] = ()
    meta: dict[str, str] = field(default_factory=dict)
    ttl_s: float | None = 10.0
    check_http: str | None = None
    interval_s: float = 2.0
    timeout_s: float = 1.0
    deregister_after_s: float = 60.0
    """The registry forgets an instance that has been critical for so long (Consul's minimum is 60)."""
    weight: int = 1


class Registrar(Protocol):
    """Registers instances. Every method raises `RegistryError` and nothing else."""

    async def register(self, registration: Registration) -> None:
        """Registers or replaces. A TTL check starts passing: the process that registers is alive."""
        ...

    async def deregister(self, instance: InstanceId) -> None:
        """Removes. Removing what is not there is no error."""
        ...

    async def heartbeat(self, instance: InstanceId, health: Health, note: str = "") -> None:
        """Feeds the TTL check. Raises `NotRegistered` when the registry has forgotten the instance."""
        ...

    async def maintenance(self, instance: InstanceId, *, enable: bool, reason: str = "") -> None:
        """Takes an instance out of use, or back, without removing it."""
        ...


FollowFixed = Callable[[Mapping[ServiceName, Sequence[str]]], Collection[ServiceName]]
"""Takes other fixed addresses (`BackendSettings.static`), and returns the services that are elsewhere now:
their streams are to be opened anew. Raises `RegistryError` for what can never work, changing nothing."""


@dataclass(frozen=True, slots=True)
class Backend:
    """An open backend. `registrar` is `None` where nothing can be registered."""

    watch: Watch
    registrar: Registrar | None
    follow_fixed: FollowFixed


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """What a backend may need; each takes its part.

    `allowed_networks` in CIDR form; empty means anywhere but link-local, multicast and unspecified.
    `static` holds the fixed addresses of services that are in no registry: `http://host:port`.
    """

    address: str = "127.0.0.1:8500"
    fallback_addresses: tuple[str, ...] = ()
    """Further agents of the same registry."""
    token: str = ""
    scheme: str = "http"
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    data_dir: str | None = None
    allowed_networks: tuple[str, ...] = ()
    wait_s: float = 30.0
    static: dict[ServiceName, tuple[str, ...]] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """What an answer depends on: which registry was asked, and which of its instances were believed."""
        return " ".join((f"{self.scheme}://{self.address}", *sorted(self.allowed_networks)))


class OpenBackend(Protocol):
    """The type of every module's `open_backend`. Raises `RegistryError` only for settings that can
    never work (an address already in use, an unreadable CA file), not for an agent that is down."""

    def __call__(self, settings: BackendSettings) -> AbstractAsyncContextManager[Backend]: ...
