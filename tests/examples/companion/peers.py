"""What of a gateway a stand-in asks: where another service is; here, whatever service is asked for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from examples.chat.service import answer
from examples.standins.service import Build, Surroundings
from tests.examples.standins.running import standin


@asynccontextmanager
async def gateway_to(build: Build) -> AsyncIterator[str]:
    """The URL of a gateway that knows one service."""
    async with standin(build(Surroundings())) as url:

        async def instance(_: web.Request) -> web.Response:
            return answer({"instance": {"url": url}})

        app = web.Application()
        app.router.add_get("/get_service_instance", instance)
        async with standin(app) as gateway:
            yield gateway
