"""The pools of the settings, as they are opened."""

from collections.abc import Awaitable, Callable

import pytest

from gateway.runtime.pools import gateways_seen, opened_pools, tunnel_prefix
from gateway.settings import HandlersSettings, Settings
from gateway.settings_handlers import DEFAULT_POOL
from registry.backends import load_backend
from registry.backends.base import BackendSettings
from registry.model import ServiceName
from registry.runtime.watcher import Watcher
from tests.gateway.runtime.gateways import eventually, settings_of

FIXED = {
    "chat-ws": ["http://127.0.0.1:8001", "http://127.0.0.1:8002"],
    "feed-ws": ["http://127.0.0.1:8003"],
    "quaymaster": ["http://127.0.0.1:8000", "http://127.0.0.1:7999"],
}


async def watched(test: Callable[[Watcher], Awaitable[None]]) -> None:
    """Runs `test` with these services at fixed addresses."""
    static = {ServiceName(name): tuple(urls) for name, urls in FIXED.items()}
    async with load_backend("static")(BackendSettings(static=static)) as backend:
        watcher = Watcher(backend.watch)
        for name in static:
            watcher.pin(name)
        async with watcher:

            async def is_ready() -> bool:
                return watcher.ready

            await eventually(is_ready)
            await test(watcher)


def with_handlers(**handlers: object) -> Settings:
    services = {name: {"instances": urls} for name, urls in FIXED.items()}
    return settings_of(
        services={"auth": {"instances": ["http://127.0.0.1:9"]}, **services}, handlers=handlers
    )


async def test_each_pool_hands_out_seats_at_the_handlers_of_its_service() -> None:
    pools = {"chat": {"service": "chat-ws"}, "feed": {"service": "feed-ws", "expose": "tunnel"}}

    async def test(watcher: Watcher) -> None:
        async with opened_pools(with_handlers(pools=pools), watcher, lambda: 1) as opened:

            async def all_are_known() -> bool:
                known = {name: len(await pool.allocator.states()) for name, pool in opened.items()}
                return known == {"chat": 2, "feed": 1}

            await eventually(all_are_known)
            assert [pool.allocator.pool.name for pool in opened.values()] == ["chat", "feed"]
            assert [pool.tunnel for pool in opened.values()] == [None, "/ws/feed/"]

    await watched(test)


async def test_without_handlers_there_are_no_pools() -> None:
    async def test(watcher: Watcher) -> None:
        async with opened_pools(settings_of(), watcher, lambda: 1) as opened:
            assert len(opened) == 0

    await watched(test)


async def test_the_gateways_are_counted_by_what_they_register_as() -> None:
    async def test(watcher: Watcher) -> None:
        assert gateways_seen(watcher, ServiceName("quaymaster"))() == 2
        assert gateways_seen(watcher, ServiceName("nobody"))() == 1
        assert gateways_seen(watcher, None)() == 1

    await watched(test)


@pytest.mark.parametrize(
    ("name", "expose", "prefix"),
    [
        (DEFAULT_POOL, "direct", None),
        ("chat", "direct", None),
        (DEFAULT_POOL, "tunnel", "/ws/"),
        ("chat", "tunnel", "/ws/chat/"),
    ],
)
def test_where_tunnels_begin(name: str, expose: str, prefix: str | None) -> None:
    assert tunnel_prefix(name, HandlersSettings.model_validate({"expose": expose})) == prefix
