"""`/ping`, `/health…` and `/metrics`: is it alive, may it get traffic, what does it see?"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from balancer.runtime.call import Balancer
from balancer.runtime.upstream import PooledUpstream
from balancer.service import ServiceState
from gateway.errors import GatewayError
from gateway.handler_states import handler_body
from gateway.openapi_answers import Alive, Detailed, Health, Pong, Ready
from gateway.openapi_operations import Operation, Told
from gateway.reloading import ReloadLedger
from gateway.runtime.access_log import AccessLog
from gateway.runtime.endpoints.endpoint import Endpoint
from gateway.runtime.endpoints.pools import Pool, Pools
from gateway.runtime.exchange import Exchange
from gateway.runtime.health_summary import HealthSummary, summary_of
from gateway.runtime.http_server import HttpServer
from gateway.runtime.live_state import LiveState
from gateway.runtime.metrics import CONTENT_TYPE, Metrics
from gateway.runtime.pool_state import PoolState
from gateway.runtime.probing import Probing
from gateway.runtime.reply import Reply, json_reply
from gateway.runtime.tunnelling import Tunnels
from gateway.runtime.waiting_room import WaitingRoom
from gateway.service_views import ServiceView, service_body
from gateway.settings import Settings
from registry.model import ServiceSnapshot
from registry.runtime.watcher import Watcher

TAG = "health"

PING = Operation("Is it there?", {200: Told("It is.", Pong)}, tag=TAG)
LIVE = Operation(
    "Does the process answer?", {200: Told("It does.", Alive)}, text="Depends on nothing else.", tag=TAG
)
HEALTH = Operation(
    "How is everything?",
    {200: Told("It serves.", Health), 503: Told("It can't serve.", Health)},
    text="From what is known already: nobody is asked for it.",
    tag=TAG,
)
READY = Operation(
    "Should traffic come here?",
    {200: Told("It should.", Ready), 503: Told("Not now.", Ready)},
    tag=TAG,
)
DETAILED = Operation("Everything an operator asks first", {200: Told("All of it.", Detailed)}, tag=TAG)
METRICS = Operation("Metrics for Prometheus", {200: Told("All of them.", media="text/plain")}, tag=TAG)


@dataclass(slots=True)
class HealthEndpoints:
    watcher: Watcher
    balancer: Balancer
    pools: Pools
    metrics: Metrics
    version: str
    upstream: PooledUpstream
    tunnels: Tunnels
    access_log: AccessLog
    reloads: ReloadLedger
    probing: Probing
    waiting: Sequence[WaitingRoom] = ()
    server: HttpServer | None = None
    """Set once it listens."""
    clock: Callable[[], float] = time.monotonic
    draining: bool = False
    """Set at SIGTERM: traffic should go elsewhere, what comes is still served."""

    def endpoints(self, settings: Settings) -> list[Endpoint]:
        """By these settings."""
        summary = summary_of(settings, self.watcher, self.balancer, self.probing, self.version)
        health, ready, detailed = (
            partial(answer, summary) for answer in (self.health, self.ready, self.detailed)
        )
        healths = ("/health", *settings.health.aliases)
        return [
            Endpoint("/ping", ("GET",), "public", self.ping, operations=(PING,)),
            *(Endpoint(path, ("GET",), "public", health, operations=(HEALTH,)) for path in healths),
            Endpoint("/health/live", ("GET",), "public", self.live, quiet=True, operations=(LIVE,)),
            Endpoint("/health/ready", ("GET",), "public", ready, quiet=True, operations=(READY,)),
            Endpoint("/health/detailed", ("GET",), "internal", detailed, operations=(DETAILED,)),
            Endpoint("/metrics", ("GET",), "internal", self.scrape, quiet=True, operations=(METRICS,)),
        ]

    async def ping(self, _exchange: Exchange) -> Reply | GatewayError:
        return json_reply({"message": "API Gateway работает"})

    async def live(self, _exchange: Exchange) -> Reply | GatewayError:
        """The process answers. Touches nothing else, so a registry's outage never restarts gateways."""
        return json_reply({"status": "alive"})

    async def health(self, summary: HealthSummary, _exchange: Exchange) -> Reply | GatewayError:
        """A summary for people, and for whoever watches from outside."""
        return summary.reply(draining=self.draining)

    async def ready(self, summary: HealthSummary, _exchange: Exchange) -> Reply | GatewayError:
        """Whether traffic should come here: 503 before the first discovery, while shutting down, and without
        what the settings say it can't do without."""
        checks: dict[str, object] = {"discovery": self.watcher.ready, "draining": self.draining}
        if probes := summary.required_probes():
            checks["probes"] = probes
        ready = summary.is_ready(draining=self.draining)
        return json_reply(
            {"status": "ready" if ready else "not_ready", "checks": checks}, status=200 if ready else 503
        )

    async def detailed(self, summary: HealthSummary, _exchange: Exchange) -> Reply | GatewayError:
        """What an operator asks first: every service with its instances, every handler with its load."""
        now = self.clock()
        pools = await self._pool_states()
        return json_reply(
            {
                "status": summary.wellness(draining=self.draining).value,
                "version": self.version,
                "draining": self.draining,
                "settings": self.reloads.body(),
                "probes": {state.name: state.body(now) for state in self.probing.states},
                "services": {view.snapshot.service: service_body(view, now) for view in self._views()},
                "pools": {
                    pool.name: {"mode": pool.mode.value, "handlers": len(pool.handlers)} for pool in pools
                },
                "handlers": [handler_body(pool.name, state) for pool in pools for state in pool.handlers],
            }
        )

    def _views(self) -> list[ServiceView]:
        called = {state.service: state for state in self.balancer.service_states()}
        failed = {found.service: found.checks_failed for found in self.watcher.stats().services}
        snapshots = sorted(self.watcher.snapshots().values(), key=lambda found: found.service)
        return [
            self._view(snapshot, called.get(snapshot.service), failed.get(snapshot.service, {}))
            for snapshot in snapshots
        ]

    def _view(
        self, snapshot: ServiceSnapshot, calls: ServiceState | None, checks_failed: Mapping[str, int]
    ) -> ServiceView:
        name = snapshot.service
        active = {load.id: load.active for load in self.balancer.loads(name)}
        if calls is None:
            # To ask for the ledger of a service that nobody calls would make one.
            return ServiceView(snapshot, active, checks_failed=checks_failed)
        eligible = self.balancer.service(name).eligible
        states = eligible.states(snapshot, self.balancer.clock())
        return ServiceView(
            snapshot,
            active,
            {state.id: state for state in states},
            panic=eligible.panic,
            ejected=eligible.ejected_total,
            calls=calls,
            checks_failed=checks_failed,
            retries_refused=self.metrics.retries_refused(name),
            hedges=self.metrics.hedges(name),
            reports=self.metrics.reports(name),
        )

    async def scrape(self, _exchange: Exchange) -> Reply | GatewayError:
        live = LiveState(
            now=self.clock(),
            services=self._views(),
            probes=self.probing.states,
            pools=await self._pool_states(),
            watch=self.watcher.stats(),
            upstream=self.upstream.stats(),
            resent=self.upstream.resent,
            tunnels=self.tunnels.open,
            waiting=sum(map(len, self.waiting)),
            client_connections=len(self.server.connections) if self.server else 0,
            access_log_dropped=self.access_log.dropped,
            reloads=self.reloads.counts,
            tasks=len(asyncio.all_tasks()),
        )
        return Reply(200, self.metrics.exposition(live), (("Content-Type", CONTENT_TYPE),))

    async def _pool_states(self) -> list[PoolState]:
        return [await _state_of(pool) for pool in self.pools.values()]


async def _state_of(pool: Pool) -> PoolState:
    allocator = pool.allocator
    handlers = await allocator.view()
    return PoolState(pool.name, allocator.mode, handlers, allocator.counts())
