"""The only wiring: settings -> a running gateway. Everything is built here, once, and owned here."""

import asyncio
import os
import random
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Self

import structlog

from balancer.model import PoolLimits
from balancer.runtime.call import Balancer
from balancer.runtime.upstream import PooledUpstream
from gateway.limiters import load_limiter
from gateway.reloading import ReloadLedger, taken_over
from gateway.runtime.access_log import AccessLog
from gateway.runtime.cached import opened_cache
from gateway.runtime.discovery import Discovery, opened_discovery
from gateway.runtime.dispatch import Dispatcher
from gateway.runtime.endpoints.health import HealthEndpoints
from gateway.runtime.exchange import NO_ROUTE
from gateway.runtime.forward import Forwarder
from gateway.runtime.handover import Predecessor, offered, predecessor_at, until_ready
from gateway.runtime.http_server import HttpServer, parser_problem
from gateway.runtime.identities import Identities, opened_identities
from gateway.runtime.listening import Listener, sockets_of_the_manager, taken_from
from gateway.runtime.local_endpoints import LocalEndpoints
from gateway.runtime.logs import change_level
from gateway.runtime.metrics import Metrics
from gateway.runtime.pools import gateways_seen, opened_pools
from gateway.runtime.probing import Probing
from gateway.runtime.reply import now_iso
from gateway.runtime.rules import StartFailed, build_verifier, rules_of
from gateway.runtime.tracing import opened_tracing
from gateway.runtime.upstream_docs import UpstreamDocs
from gateway.runtime.waiting_room import WaitingRoom
from gateway.settings import Settings
from registry.model import ServiceName
from registry.runtime.registration import Registered
from registry.runtime.watcher import Watcher

log = structlog.get_logger()

KNOWN_WITHIN_S = 5.0
"""How long those who wait at a socket that was given are left waiting for the registry's first answer."""
LAST_WORDS_S = 1.0
"""How long the end waits for whoever reads the access log."""
MAX_WAITING_FOR_SEATS = 1000
MAX_WAITING_FOR_PEERS = 2000
MAX_WAITING_FOR_DRAINS = 64
"""Each of them asks the store for all handlers, four times a second."""


@dataclass(frozen=True, slots=True)
class _Running:
    """What new settings are put into."""

    discovery: Discovery
    balancer: Balancer
    endpoints: LocalEndpoints
    identities: Identities
    dispatcher: Dispatcher
    server: HttpServer
    access_log: AccessLog


class Gateway:
    """An async context manager: serving inside, everything released outside. Raises `StartFailed`."""

    def __init__(self, settings: Settings, *, rng: random.Random | None = None) -> None:
        self._settings = settings
        self._rng = rng or random.Random()
        self._stack = AsyncExitStack()
        self._registered: Registered | None = None
        self._listener: Listener | None = None
        self.replaced = asyncio.Event()
        """Another process accepts connections in this one's place."""
        self._health: HealthEndpoints | None = None
        places = (MAX_WAITING_FOR_SEATS, MAX_WAITING_FOR_DRAINS, MAX_WAITING_FOR_PEERS)
        self._waiting = tuple(map(WaitingRoom, places))
        self._running: _Running | None = None
        self.reloads = ReloadLedger(now_iso())
        self.port = settings.listen.port
        """Where it listens: the system's choice when the settings say 0."""

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def drain(self) -> None:
        """Says goodbye: not ready, not registered, and still serving until `listen.drain_s` has passed.

        One that was `replaced` leaves its address to the other process, and ends what it has begun.
        """
        assert self._health is not None
        assert self._listener is not None
        replaced = self.replaced.is_set()
        drain_s = self._settings.listen.drain_s
        log.info("draining", seconds=drain_s, replaced=replaced)
        if replaced:
            await self._listener.stop_accepting()
            if self._registered is not None:
                await self._registered.hand_over()
        self._listener.server.draining = True
        self._health.draining = not replaced
        self._let_go()
        if self._registered is not None:
            await self._registered.withdraw()
        await asyncio.sleep(drain_s)

    async def follow(self, wanted: Settings) -> tuple[str, ...]:
        """Puts new settings in force between two requests, and returns the keys that need a restart.

        Counters, connections, ledgers and leases stay. Raises `StartFailed`, having changed nothing.
        """
        running = self._running
        assert running is not None
        taken = taken_over(self._settings, wanted)
        if taken.problems:
            raise StartFailed("\n".join(map(str, taken.problems)))
        settings = taken.settings
        endpoints = running.endpoints.of(settings)
        # Beside the loop: a long table of routes takes its time.
        rules, verifier = await asyncio.to_thread(
            lambda: (rules_of(settings, endpoints), build_verifier(settings))
        )
        running.discovery.follow(self._settings, settings)
        places = {NO_ROUTE, *(endpoint.path for endpoint in endpoints)}
        places.update(route.path for route in settings.routes)
        running.endpoints.metrics.keep(services=settings.services.keys(), routes=places)
        self._settings = settings
        running.balancer.follow(settings.service_policies())
        running.endpoints.health.probing.follow(settings.health.probes)
        running.endpoints.docs.follow(settings)
        running.identities.follow(settings.identity, verifier)
        running.dispatcher.rules = rules
        running.server.follow(settings.listen)
        change_level(settings.logging.level)
        running.access_log.follow(settings.logging)
        return taken.not_applied

    def _let_go(self) -> None:
        """Whoever waits for something gets an answer now: nobody keeps a gateway from stopping."""
        for room in self._waiting:
            room.close()

    async def _start(self) -> None:
        settings, stack = self._settings, self._stack
        discovery = await stack.enter_async_context(opened_discovery(settings, self._rng))
        watcher = discovery.watcher
        metrics = Metrics(software_version())
        upstream = await stack.enter_async_context(PooledUpstream(self._pool_limits, watcher.current))
        balancer = Balancer(
            watcher.current,
            upstream,
            policies=settings.service_policies(),
            rng=self._rng,
            observer=metrics,
        )
        gateways = gateways_seen(watcher, discovery.gateways)
        pools = await stack.enter_async_context(opened_pools(settings, watcher, gateways))
        forwarder = Forwarder(balancer)
        identities = await stack.enter_async_context(
            opened_identities(settings, build_verifier(settings), balancer, forwarder.mark, metrics.tokens)
        )
        access_log = self._open_access_log()
        tracing = await stack.enter_async_context(opened_tracing(settings.tracing, software_version()))
        if tracing is not None:
            metrics.spans = tracing.spans
        probing = await stack.enter_async_context(Probing(rng=self._rng))
        probing.follow(settings.health.probes)
        docs = await stack.enter_async_context(UpstreamDocs(balancer, forwarder.mark, rng=self._rng))
        docs.follow(settings)
        self._health = HealthEndpoints(
            watcher,
            balancer,
            pools,
            metrics,
            software_version(),
            upstream=upstream,
            tunnels=forwarder.tunnels,
            access_log=access_log,
            reloads=self.reloads,
            probing=probing,
            waiting=self._waiting,
        )
        seats, drains, peers = self._waiting
        endpoints = LocalEndpoints(
            watcher,
            balancer,
            forwarder,
            identities,
            pools,
            metrics,
            self._health,
            seats,
            drains,
            peers,
            self._rng,
            docs,
        )
        dispatcher = Dispatcher(
            settings,
            endpoints=endpoints.of(settings),
            forwarder=forwarder,
            identities=identities,
            limiter=await stack.enter_async_context(
                load_limiter(settings.store.limiter)(settings.store.url.get_secret_value())
            ),
            metrics=metrics,
            access_log=access_log,
            cached=await stack.enter_async_context(opened_cache(settings, forwarder, metrics)),
            tracing=tracing,
        )
        predecessor = await stack.enter_async_context(predecessor_at(settings.listen.handover))
        self._health.server = server = await self._listen(dispatcher, watcher, predecessor)
        self._running = _Running(discovery, balancer, endpoints, identities, dispatcher, server, access_log)
        if (registered := discovery.registered(settings, self.port)) is not None:
            self._registered = await stack.enter_async_context(registered)
        if predecessor is not None:
            await predecessor.may_go()
        assert self._listener is not None
        await stack.enter_async_context(
            offered(settings.listen.handover, self._listener.sockets, self.replaced.set)
        )

    def _pool_limits(self, service: ServiceName) -> PoolLimits:
        known = self._settings.services.get(service)
        return PoolLimits() if known is None else known.connections.limits()

    def _open_access_log(self) -> AccessLog:
        access_log = AccessLog(sys.stdout.buffer, self._settings.logging)
        self._stack.callback(access_log.flush, LAST_WORDS_S)
        return access_log

    async def _listen(
        self, dispatcher: Dispatcher, watcher: Watcher, predecessor: Predecessor | None
    ) -> HttpServer:
        if (problem := parser_problem()) is not None:
            raise StartFailed(problem)
        listen = self._settings.listen
        server = HttpServer(
            dispatcher,
            dispatcher.refusals.refuse,
            listen,
            turn_away=dispatcher.refusals.turn_away,
            turned_away=dispatcher.refusals.turned_away,
        )
        self._listener = listener = Listener(server, lambda: self._settings.listen.shutdown_timeout_s)
        self._stack.push_async_callback(listener.stop)
        self._stack.callback(self._let_go)
        given = sockets_of_the_manager(os.environ)
        if predecessor is not None:
            await until_ready(lambda: watcher.ready)
            given = given or taken_from(predecessor, listen)
        elif given:
            await self._until_known(watcher)
        await listener.start(listen, given)
        self.port = listener.port
        log.info("listening", host=listen.host, port=self.port, given=len(given))
        return server

    async def _until_known(self, watcher: Watcher) -> None:
        """Calls wait in the queue of a socket that was given: better late than refused. But not for ever:
        while the registry is away, the process must be seen to live."""
        try:
            await until_ready(lambda: watcher.ready, KNOWN_WITHIN_S)
        except StartFailed:
            log.warning("listening_unready", waited_s=KNOWN_WITHIN_S)


def software_version() -> str:
    """The installed version, or `source` when run from a folder that was never installed."""
    try:
        return version("quaymaster")
    except PackageNotFoundError:
        return "source"
