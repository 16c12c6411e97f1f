"""One stand-in alone, without a gateway: who calls is whom the header names, as a gateway would set it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from examples.standins.service import USER_HEADER, Build, Surroundings
from tests.examples.chat.clients import Clock
from tests.examples.standins.running import CHEAP, SECRET


@dataclass(slots=True)
class Alone:
    """Calls to one stand-in."""

    client: TestClient[Request, Application]
    clock: Clock

    async def ask(self, method: str, path: str, body: Any = None, *, who: str = "") -> tuple[int, Any]:
        """Status and JSON; `None` for an empty answer."""
        headers = {USER_HEADER: who} if who else {}
        async with self.client.request(method, path, json=body, headers=headers) as answer:
            return answer.status, await answer.json() if answer.content_type == "application/json" else None


@asynccontextmanager
async def alone(build: Build, **given: str) -> AsyncIterator[Alone]:
    clock = Clock()
    app = build(Surroundings(**{"secret": SECRET, **given}, clock=clock, passwords=CHEAP))
    async with TestClient(TestServer(app)) as client:
        yield Alone(client, clock)
