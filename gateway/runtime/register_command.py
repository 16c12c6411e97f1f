"""What `quaymaster register` does: any program as a registered service."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from registry.backends import load_backend
from registry.backends.base import BackendSettings, Registration
from registry.model import InstanceId, RegistryError, ServiceName
from registry.names import instance_id, is_registrable_id, is_service_name
from registry.runtime.registration import run_registered


@dataclass(frozen=True, slots=True)
class RegisterFacts:
    """The command's arguments."""

    command: tuple[str, ...]
    name: str
    port: int
    id: str = ""
    address: str = ""
    ttl_s: float = 10.0
    check_http: str | None = None
    tags: tuple[str, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)
    weight: int = 1
    consul: str = "127.0.0.1:8500"
    """`host:port`, also with `http://` or `https://` before it, as Consul's own tools write it."""
    token: str = field(default="", repr=False)
    propagation_s: float = 1.0


async def run_program(facts: RegisterFacts) -> int | str:
    """The program's exit status, or why it was not started."""
    instance = facts.id or instance_id(facts.name, facts.address or socket.gethostname(), facts.port)
    if not is_service_name(facts.name):
        return f"--name {facts.name!r}: use letters, digits, dots, hyphens and underscores"
    if not is_registrable_id(instance):
        return f"--id {instance!r}: can't be an instance's id"
    settings = agent_settings(facts.consul, facts.token)
    if settings is None:
        return f"--consul {facts.consul}: write host:port, http://host:port or https://host:port"
    registration = Registration(
        id=InstanceId(instance),
        service=ServiceName(facts.name),
        port=facts.port,
        address=facts.address,
        tags=facts.tags,
        meta=dict(facts.meta),
        ttl_s=None if facts.check_http else facts.ttl_s,
        check_http=facts.check_http,
        weight=facts.weight,
    )
    try:
        async with load_backend("consul")(settings) as backend:
            assert backend.registrar is not None
            return await run_registered(
                backend.registrar, registration, facts.command, propagation_s=facts.propagation_s
            )
    except RegistryError as error:
        return f"--consul {facts.consul}: {error}"
    except OSError as error:
        return f"{facts.command[0]}: can't be started: {error.strerror or error}"


def agent_settings(consul: str, token: str) -> BackendSettings | None:
    """The agent of `RegisterFacts.consul`; `None` for a scheme that Consul's HTTP API does not speak."""
    scheme, named, address = consul.partition("://")
    if not named:
        return BackendSettings(address=consul, token=token)
    if scheme.lower() not in ("http", "https"):
        return None
    return BackendSettings(address=address.removesuffix("/"), scheme=scheme.lower(), token=token)
