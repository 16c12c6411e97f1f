"""The embedded agent in this process, and the consul backend on it: one code path for both."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from registry.addresses import is_loopback_host, split_address
from registry.agent import EmbeddedAgent
from registry.backends import consul
from registry.backends.base import Backend, BackendSettings


@asynccontextmanager
async def open_backend(settings: BackendSettings) -> AsyncGenerator[Backend, None]:
    """Listens at `settings.address` (port 0: any free one) for this process and for the services.

    Loopback registrations are believed only while nobody but this machine can register.
    """
    host, port = consul.read_addresses(settings)[0]
    async with AsyncExitStack() as stack:
        agent = await stack.enter_async_context(EmbeddedAgent(host, port, data_dir=settings.data_dir))
        _, bound = split_address(agent.address, port)
        there = replace(
            settings, address=_reachable(host, bound), fallback_addresses=(), scheme="http", token=""
        )
        yield await stack.enter_async_context(consul.open_at(there, loopback=is_loopback_host(host)))


def _reachable(host: str, port: int) -> str:
    """Where this process finds an agent that listens on all addresses."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
