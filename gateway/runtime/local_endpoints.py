"""The gateway's own endpoints for some settings, over what lives as long as the process."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from balancer.headers import guarded_names
from balancer.model import Timeouts
from balancer.runtime.call import Balancer
from gateway.instance_names import InstanceNames
from gateway.runtime.endpoints.api_docs import ApiDocsEndpoints
from gateway.runtime.endpoints.endpoint import Endpoint
from gateway.runtime.endpoints.handler_processes import HandlerProcessEndpoints
from gateway.runtime.endpoints.handler_tunnel import HandlerTunnelEndpoint, KnownHandlers
from gateway.runtime.endpoints.handlers_admin import HandlersAdminEndpoints
from gateway.runtime.endpoints.health import HealthEndpoints
from gateway.runtime.endpoints.logging_admin import LoggingAdminEndpoint
from gateway.runtime.endpoints.peer_reports import PeerReportEndpoint
from gateway.runtime.endpoints.peers import PeerEndpoint
from gateway.runtime.endpoints.pools import Pools
from gateway.runtime.endpoints.seats import SeatEndpoint
from gateway.runtime.endpoints.tokens_admin import TokensAdminEndpoint
from gateway.runtime.forward import Forwarder
from gateway.runtime.identities import Identities
from gateway.runtime.metrics import Metrics
from gateway.runtime.pools import tunnel_prefix
from gateway.runtime.upstream_docs import UpstreamDocs
from gateway.runtime.waiting_room import WaitingRoom
from gateway.settings import HandlersSettings, ServiceSettings, Settings
from registry.model import ServiceName
from registry.runtime.watcher import Watcher


@dataclass(frozen=True, slots=True)
class LocalEndpoints:
    """Asked once for each settings that come into force."""

    watcher: Watcher
    balancer: Balancer
    forwarder: Forwarder
    identities: Identities
    pools: Pools
    metrics: Metrics
    health: HealthEndpoints
    seats: WaitingRoom
    drains: WaitingRoom
    peers: WaitingRoom
    rng: random.Random
    docs: UpstreamDocs
    names: InstanceNames = field(default_factory=InstanceNames)
    handlers: dict[ServiceName, KnownHandlers] = field(default_factory=dict)
    """Of the pools with tunnels."""

    def of(self, settings: Settings) -> list[Endpoint]:
        endpoints: list[Endpoint] = [
            *self.health.endpoints(settings),
            *PeerEndpoint(
                self.balancer, self.watcher, settings.handout_ttl_s, self.peers, self.names
            ).endpoints(),
            *PeerReportEndpoint(self.balancer, self.watcher, self.metrics, self.names).endpoints(),
            *LoggingAdminEndpoint(self.health.access_log).endpoints(),
        ]
        endpoints += TokensAdminEndpoint(self.identities).endpoints()
        if settings.handlers is not None:
            endpoints += [
                *SeatEndpoint(self.pools, self.metrics, self.seats, rng=self.rng).endpoints(),
                *HandlerProcessEndpoints(self.pools).endpoints(),
                *HandlersAdminEndpoints(self.pools, self.drains).endpoints(),
                *self._tunnels(settings, settings.handlers),
            ]
        # Described last, and its own are among what is described.
        endpoints += ApiDocsEndpoints(settings, endpoints, self.health.version, self.docs).endpoints()
        return endpoints

    def _tunnels(self, settings: Settings, handlers: HandlersSettings) -> Iterator[Endpoint]:
        for name, pool in handlers.by_pool().items():
            if (prefix := tunnel_prefix(name, pool)) is None:
                continue
            key = ServiceName(pool.service)
            if key not in self.handlers:
                self.handlers[key] = KnownHandlers(self.watcher, key)
            service = settings.services.get(pool.service, ServiceSettings())
            yield from HandlerTunnelEndpoint(
                self.forwarder,
                self.handlers[key],
                service.timeouts.over(Timeouts()),
                prefix,
                guarded_names(settings.identity.claim_headers),
            ).endpoints()
