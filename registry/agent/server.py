"""The embedded agent as one thing: open it, and a Consul address exists."""

import asyncio
import errno
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from random import Random
from types import TracebackType
from typing import Self

import structlog
from aiohttp import web

from registry.addresses import is_loopback_host
from registry.agent.answers import Node
from registry.agent.api import Api
from registry.agent.catalog import Catalog
from registry.agent.checks import Prober
from registry.agent.journal import Journal, Saved
from registry.agent.live import LiveCatalog
from registry.agent.waiting import Waiting
from registry.model import RegistryError

INDEXES_PER_LIFE = 1_000_000_000
"""Each life of a journal starts its index that much higher, so that a watcher which outlives the agent
sees the index grow. (A waiter with an index above the agent's would sleep through every change.)"""

SHUTDOWN_S = 1.0
BACKLOG = 1024
"""Connections not yet accepted. A gateway and all services come at once after a restart; the usual 128
would turn some away, and they come back only after a second."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AgentLimits:
    """What one agent takes on at most, and Consul's lower bounds (tests need shorter ones)."""

    services: int = 2_000
    checks: int = 4_000
    waiting: int = 1_000
    """Blocking queries that wait at the same time."""
    probes: int = 128
    """HTTP and TCP checks under way at the same time."""
    body_bytes: int = 128 * 1024
    min_interval_s: float = 1.0
    min_deregister_s: float = 60.0


class CannotListen(RegistryError):
    """The agent's address can't be used."""

    reason = "cannot_listen"


class EmbeddedAgent:
    """The part of Consul's agent that services and gateways use, in this process.

    An async context manager. Raises `CannotListen` or `JournalError`, whose messages name the fix.
    It has no access control: on loopback, whoever runs on this machine may register.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        data_dir: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: Random | None = None,
        limits: AgentLimits | None = None,
        node: str = "quaymaster",
        datacenter: str = "dc1",
    ) -> None:
        """`data_dir` keeps registrations over restarts; `None` forgets them. Port 0 takes a free one."""
        self._host = "127.0.0.1" if host.lower() == "localhost" else host.strip("[]")
        self._port = port
        self._data_dir = data_dir
        self._clock = clock
        self._rng = rng or Random()
        self._limits = limits or AgentLimits()
        self._names = (node, datacenter)
        self._stack = AsyncExitStack()
        self._waiting: Waiting | None = None

    @property
    def address(self) -> str:
        """`host:port` where it listens; with port 0, known once it is open."""
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    @property
    def waiting(self) -> int:
        """How many blocking queries wait at this moment."""
        return len(self._waiting) if self._waiting is not None else 0

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _open(self, stack: AsyncExitStack) -> None:
        journal = None
        if self._data_dir is not None:
            journal = await Journal.open(self._data_dir)
            stack.push_async_callback(journal.close)
        saved = journal.saved if journal else Saved()
        catalog = self._catalog(saved)
        self._waiting = Waiting(catalog.index_of, self._limits.waiting)
        live = await self._open_live(catalog, self._waiting, journal, stack)
        api = Api(
            live,
            self._waiting,
            self._node(catalog.index),
            loopback=is_loopback_host(self._host),
            body_max=self._limits.body_bytes,
            rng=self._rng,
        )
        await self._listen(api, stack)
        stack.callback(self._waiting.close)  # first of all, so that nobody is waited for
        log.info("agent_listens", address=self.address, data_dir=self._data_dir, restored=len(saved.services))
        if not is_loopback_host(self._host):
            log.warning("agent_open_to_network", address=self.address, reason="it has no access control")

    def _catalog(self, saved: Saved) -> Catalog:
        return Catalog(
            first_index=1 + saved.life * INDEXES_PER_LIFE,
            max_services=self._limits.services,
            max_checks=self._limits.checks,
            min_deregister_s=self._limits.min_deregister_s,
        )

    async def _open_live(
        self, catalog: Catalog, waiting: Waiting, journal: Journal | None, stack: AsyncExitStack
    ) -> LiveCatalog:
        group = asyncio.TaskGroup()
        await group.__aenter__()
        # Not the error of the body, which a group would wrap in a group.
        stack.push_async_callback(group.__aexit__, None, None, None)
        prober = Prober(
            group,
            lambda *seen: live.observe(*seen),
            min_interval_s=self._limits.min_interval_s,
            at_once=self._limits.probes,
            rng=self._rng,
        )
        live = LiveCatalog(catalog, prober, waiting, journal, self._clock)
        await stack.enter_async_context(prober)
        live.restore()
        stack.callback(group.create_task(live.keep_time(), name="agent time").cancel)
        return live

    async def _listen(self, api: Api, stack: AsyncExitStack) -> None:
        runner = web.AppRunner(
            api.app,
            access_log=None,
            handler_cancellation=True,  # a client that left must not hold a place for waiters
            shutdown_timeout=SHUTDOWN_S,
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, self._host, self._port, backlog=BACKLOG).start()
        except OSError as error:
            raise CannotListen(_explain(self.address, error)) from error
        self._port = runner.addresses[0][1]
        api.address = (self._host, self._port)

    def _node(self, index: int) -> Node:
        name, datacenter = self._names
        try:
            address = ip_address(self._host)
            here = "127.0.0.1" if address.version == 4 else "::1"
            return Node(name, here if address.is_unspecified else str(address), datacenter, index)
        except ValueError:
            return Node(name, "127.0.0.1", datacenter, index)

    def __repr__(self) -> str:
        return f"<EmbeddedAgent at {self.address}>"


def _explain(address: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"registry.address: {address} is in use, perhaps by a Consul agent: choose another port, "
            "or set registry.backend to consul to use that agent"
        )
    if error.errno == errno.EACCES:
        return f"registry.address: no permission to listen at {address}: choose a port of at least 1024"
    why = error.strerror or error
    return f"registry.address: can't listen at {address}: {why}; choose an address of this machine"
