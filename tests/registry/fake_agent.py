"""A Consul agent that misbehaves on purpose, over a real socket.

Only for what a real Consul can't be made to do; everything else is tested against a real one.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Answers = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def entry(name: str, port: object = 80, **service: object) -> dict[str, object]:
    """One element of Consul's answer to a health query."""
    return {
        "Node": {"Node": "n1", "Address": "127.0.0.1"},
        "Service": {"ID": name, "Address": "", "Port": port, "Tags": [], "Meta": {}} | service,
        "Checks": [],
    }


def says(body: object, *, index: str = "7", status: int = 200, **headers: str) -> Answers:
    """The same answer every time, with an index."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(text=text, status=status, headers={"X-Consul-Index": index, **named})

    return answer


def emptied_by_acls(body: object) -> Answers:
    """What newer Consuls say to a token that may read nothing: 200, empty, and a header."""
    return says(body, X_Consul_Results_Filtered_By_ACLs="true")


async def never_answers(_: web.BaseRequest) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def cuts_the_body_off(request: web.BaseRequest) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"X-Consul-Index": "7", "Content-Length": "1000"})
    await answer.prepare(request)
    await answer.write(b"[")
    assert request.transport is not None
    request.transport.abort()
    return answer


async def redirects(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/", "X-Consul-Index": "7"})


class FakeAgent:
    """Answers as it is told at the moment, and remembers what it was asked."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[web.BaseRequest] = []
        self.address = ""

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        return await self.answers(request)

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.asked]


@asynccontextmanager
async def fake_agent(answers: Answers, tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeAgent]:
    agent = FakeAgent(answers)
    runner = web.ServerRunner(web.Server(agent._answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0]
    agent.address = f"{host}:{port}"
    try:
        yield agent
    finally:
        await runner.cleanup()
