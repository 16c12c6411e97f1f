"""Everything that carries bytes is tested on both loops: they differ in what they tell, and when."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from balancer.runtime.upstream import PooledUpstream


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def upstream() -> AsyncIterator[PooledUpstream]:
    async with PooledUpstream() as opened:
        yield opened
