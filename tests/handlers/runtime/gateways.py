"""Gateways for the SDK to talk to, over real HTTP: a good one, and some named for their fault."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from handlers.answers import Grant
from handlers.model import (
    HandlerId,
    Hello,
    Jti,
    Move,
    PoolSettings,
    Report,
    ReportRefusal,
    ReportRefused,
    Uid,
)
from handlers.runtime.allocator import Allocator
from handlers.stores.memory import open_store
from handlers.ticket import TicketSecrets
from registry.runtime.clock import unix_now

STATUS = {ReportRefusal.UNKNOWN_HANDLER: 404, ReportRefusal.STALE_EPOCH: 409}


async def until(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    """Returns once `condition` holds; raises `TimeoutError` when that takes too long."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 what is waited for is of many kinds
            await asyncio.sleep(0.005)


async def in_two_pieces(request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Sends `answer` so that its body does not come all at once."""
    assert isinstance(answer.body, bytes)
    told = web.StreamResponse(status=answer.status, headers={"Content-Length": str(len(answer.body))})
    await told.prepare(request)
    await told.write(answer.body[:5])
    await asyncio.sleep(0.02)
    await told.write(answer.body[5:])
    return told


def seat_elsewhere(move: dict[str, Any]) -> dict[str, Any]:
    return {
        "session_id": move["session_id"],
        "handler_id": "WSH2",
        "url": "ws://127.0.0.1:9/ws",
        "ticket": f"a ticket of {move['uid']}",
    }


class Gateway:
    """The three calls of handler processes on a real allocator, and a record of what came.

    Faults that can be turned on while it runs: `answers_slowly`, `answers_in_pieces`, `breaks_off`, `says`
    (one fixed answer). What `order` gets is laid over the answers to reports (a `drain` in it counts down),
    and `elsewhere` is how many clients that are to move get a seat, at a handler that is not there.
    """

    def __init__(self, allocator: Allocator) -> None:
        self.allocator = allocator
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.keys: set[str | None] = set()
        self.url = ""
        self.answers_slowly = False
        self.answers_in_pieces = False
        self.breaks_off = False
        self.says: tuple[int, bytes] | None = None
        self._orders: dict[str, Any] = {}
        self._ordered_at = 0.0
        self.elsewhere = 0

    def order(self, orders: dict[str, Any]) -> None:
        """What the answers to reports say from now on."""
        self._orders, self._ordered_at = orders, asyncio.get_running_loop().time()

    def orders(self) -> dict[str, Any]:
        if "drain" not in self._orders:
            return self._orders
        gone_s = asyncio.get_running_loop().time() - self._ordered_at
        drain = self._orders["drain"]
        return self._orders | {"drain": drain | {"deadline_s": max(0.0, drain["deadline_s"] - gone_s)}}

    def of(self, path: str) -> list[dict[str, Any]]:
        return [body for called, body in self.calls if called == path]

    async def call(self, request: web.Request) -> web.StreamResponse:
        if self.breaks_off:
            assert request.transport is not None
            request.transport.close()
            raise ConnectionResetError
        body = json.loads(await request.read())
        self.calls.append((request.path, body))
        self.keys.add(request.headers.get("X-Internal-Key"))
        if self.answers_slowly:
            await asyncio.sleep(30)
        if self.says is not None:
            return web.Response(status=self.says[0], body=self.says[1])
        answer = await self._answer(request.path, body)
        return await in_two_pieces(request, answer) if self.answers_in_pieces else answer

    async def _answer(self, path: str, body: dict[str, Any]) -> web.Response:
        name = HandlerId(body["handler_id"])
        if path == "/handlers/admit":
            room = await self.allocator.admit_late(name, body["epoch"], Jti(body["jti"]))
            return web.json_response({"admit": room})
        if path == "/handlers/register":
            fields = ("epoch", "url", "path", "capacity")
            told: Any = await self.allocator.hello(
                Hello(
                    name,
                    **{field: body[field] for field in fields},
                    weight=body.get("weight", 1),
                    known=tuple(body["known"]),
                    connections=body["connections"],
                )
            )
        else:
            told = await self.allocator.report(
                Report(
                    name,
                    body["epoch"],
                    body["seq"],
                    body["connections"],
                    tuple(body["confirmed"]),
                    tuple(body["closed"]),
                    body["leaving"],
                    tuple(Move(Uid(move["uid"]), move["session_id"]) for move in body.get("move", ())),
                )
            )
        if isinstance(told, ReportRefused):
            return web.json_response({"reason": told.reason.value}, status=STATUS[told.reason])
        answer = told.body(unix_now())
        if path == "/handlers/report":
            answer |= self.orders()
            if self.elsewhere and "move" in body:
                answer["migrate"] = [seat_elsewhere(move) for move in body["move"][: self.elsewhere]]
                self.elsewhere -= len(body["move"][: self.elsewhere])
        return web.json_response(answer)

    async def ticket(self, uid: str = "ann") -> str:
        grant = await self.allocator.allocate(uid)
        assert isinstance(grant, Grant), grant
        return grant.ticket


SECRET = "the secret of the cluster under test"


@asynccontextmanager
async def gateway(
    pool: PoolSettings | None = None, secrets: TicketSecrets | None = None
) -> AsyncIterator[Gateway]:
    """A gateway with a memory store. Its faults are attributes."""
    pool = pool or PoolSettings()
    async with open_store(pool, "") as store:
        made = Gateway(Allocator(store, pool, secrets or TicketSecrets(SECRET)))
        app = web.Application()
        app.router.add_route("*", "/handlers/{call}", made.call)
        # A slow answer must not keep the test waiting when it is over.
        async with TestServer(app, handler_cancellation=True, shutdown_timeout=0.1) as server:
            made.url = str(server.make_url("")).rstrip("/")
            yield made


@asynccontextmanager
async def forgets_handlers(made: Gateway) -> AsyncIterator[None]:
    """From here on it is a gateway that has restarted: its memory store is empty."""
    pool = PoolSettings()
    async with open_store(pool, "") as store:
        made.allocator = Allocator(store, pool, TicketSecrets(SECRET))
        yield
