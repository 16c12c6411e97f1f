"""A dispatcher of one's own, for faults that a whole gateway does not have."""

import io
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from balancer.runtime.call import Balancer
from balancer.runtime.upstream import PooledUpstream
from gateway.limiters.base import Limiter
from gateway.limiters.memory import MemoryLimiter
from gateway.runtime.access_log import AccessLog
from gateway.runtime.cached import CachedForwarder
from gateway.runtime.dispatch import Dispatcher
from gateway.runtime.endpoints.endpoint import Endpoint
from gateway.runtime.forward import Forwarder
from gateway.runtime.identities import opened_identities
from gateway.runtime.metrics import Metrics
from gateway.runtime.rules import build_verifier
from gateway.settings import Settings
from registry.model import Instance, ServiceName, ServiceSnapshot, Status, snapshot


@asynccontextmanager
async def dispatcher(
    settings: Settings,
    endpoints: Iterable[Endpoint] = (),
    *,
    instances: tuple[Instance, ...] = (),
    limiter: Limiter | None = None,
    metrics: Metrics | None = None,
    cached: Callable[[Forwarder, Metrics], CachedForwarder] | None = None,
) -> AsyncIterator[tuple[Dispatcher, io.BytesIO]]:
    """A dispatcher in front of these instances of `auth`, and what it logs."""
    logged = io.BytesIO()

    def snapshots(service: ServiceName) -> ServiceSnapshot:
        return snapshot(service, Status.KNOWN, instances=instances, answered_at=0.0)

    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(PooledUpstream())
        balancer = Balancer(snapshots, upstream, policies={}, rng=random.Random(1))
        access_log, metrics = AccessLog(logged), metrics or Metrics("test")
        forwarder = Forwarder(balancer)
        identities = await stack.enter_async_context(
            opened_identities(settings, build_verifier(settings), balancer, forwarder.mark, metrics.tokens)
        )
        yield (
            Dispatcher(
                settings,
                endpoints=endpoints,
                forwarder=forwarder,
                identities=identities,
                limiter=limiter or MemoryLimiter(),
                metrics=metrics,
                access_log=access_log,
                cached=None if cached is None else cached(forwarder, metrics),
            ),
            logged,
        )
        access_log.flush()
