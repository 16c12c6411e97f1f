"""Opens the pools of WebSocket handlers: for each who hands out its seats, and what the registry says."""

import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from gateway.runtime.endpoints.handler_tunnel import PREFIX
from gateway.runtime.endpoints.pools import Pool, Pools
from gateway.runtime.handler_feed import HandlerFeed
from gateway.settings import HandlerPoolSettings, HandlersSettings, Settings
from gateway.settings_handlers import DEFAULT_POOL
from handlers.awake_time import awake_clock
from handlers.runtime.allocator import Allocator
from handlers.runtime.sweeper import Sweeper
from handlers.stores import load_store
from handlers.ticket import TicketSecrets
from registry.model import ServiceName
from registry.runtime.watcher import Watcher


@asynccontextmanager
async def opened_pools(
    settings: Settings, watcher: Watcher, gateways: Callable[[], int]
) -> AsyncIterator[Pools]:
    """Every pool of the settings, kept up to date while the block runs. `gateways`: how many share them."""
    handlers = settings.handlers
    if handlers is None:
        yield Pools()
        return
    keys = _ticket_secrets(handlers)
    async with AsyncExitStack() as stack:
        pools = []
        for name, pool in handlers.by_pool().items():
            # Under the name of its service: what gateways share are those handlers, whatever they call them.
            store = await stack.enter_async_context(
                load_store(settings.store.backend)(
                    pool.pool(pool.service), settings.store.url.get_secret_value()
                )
            )
            allocator = Allocator(
                store,
                pool.pool(name),
                keys,
                monotonic=awake_clock(time.monotonic),
                gateways=gateways,
                rebalance=pool.rebalance,
            )
            await stack.enter_async_context(Sweeper(allocator))
            feed = await stack.enter_async_context(HandlerFeed(allocator))
            watcher.subscribe(ServiceName(pool.service), feed.publish)
            pools.append(Pool(name, allocator, tunnel_prefix(name, pool), pool.public_url))
        yield Pools(*pools)


def tunnel_prefix(name: str, pool: HandlerPoolSettings) -> str | None:
    """How the paths of that pool's tunnels begin; its handlers may be called as those of another pool."""
    if pool.expose != "tunnel":
        return None
    return PREFIX if name == DEFAULT_POOL else f"{PREFIX}{name}/"


def gateways_seen(watcher: Watcher, service: ServiceName | None) -> Callable[[], int]:
    """How many gateways there are by the registry, at least this one. `service`: what they register as."""
    if service is None:
        return lambda: 1
    return lambda: max(1, len(watcher.current(service).usable))


def _ticket_secrets(handlers: HandlersSettings) -> TicketSecrets:
    # With a store of our own nobody else checks our tickets' keys, so a secret of this start will do.
    secret = handlers.secret.get_secret_value() if handlers.secret else secrets.token_urlsafe(48)
    previous = handlers.previous_secret.get_secret_value() if handlers.previous_secret else None
    return TicketSecrets(secret, previous)
