"""An instance in a process of its own: `python -m tests.faults.instance --service NAME --port N …`.

It registers by the project's own SDK, and writes what it executes to a file that outlives it: a line
`<monotonic seconds> <method> <X-Request-Id>` before it answers. `PUT /fault?name=…` on its second port
switches a fault on, and `works` off again; that port is never broken.
"""

import argparse
import asyncio
import random
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from registry.runtime.registration import register

WORK_S = 0.02
SLOW_S = 1.0
BODY_BYTES = 256 * 1024
"""Of an answer that is cut: more than any buffer between takes as a whole."""
LINGER_0 = struct.pack("ii", 1, 0)
"""SO_LINGER that makes `close` a reset."""


class Instance:
    """What it answers, and how it fails at the moment."""

    def __init__(
        self, name: str, seen: Path, work_s: float, listener: socket.socket, rng: random.Random
    ) -> None:
        self._name = name
        self._work_s = work_s
        self._seen = seen.open("ab", buffering=0)
        self._listener = listener
        self._rng = rng
        self._fault: Fault = works
        self._stuffing: list[socket.socket] = []
        """Connections that fill our own backlog."""
        self._open: set[asyncio.Transport] = set()

    async def work(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        if isinstance(transport, asyncio.Transport):
            self._open.add(transport)
        await request.read()
        line = f"{time.monotonic():.6f} {request.method} {request.headers.get('X-Request-Id', '-')}\n"
        self._seen.write(line.encode())
        await asyncio.sleep(self._work_s)
        fault = self._fault
        if fault is fails_half:
            fault = resets_before_head if self._rng.getrandbits(1) else works
        answer = await fault(request)
        if not answer.prepared:
            answer.headers["X-Instance"] = self._name
        return answer

    async def health(self, request: web.Request) -> web.StreamResponse:
        status = 500 if self._fault is answers_500 else 200
        return web.Response(status=status, headers={"X-Instance": self._name})

    async def set_fault(self, request: web.Request) -> web.StreamResponse:
        name = request.query["name"]
        if name == never_accepts.__name__:
            self._stop_accepting()
        self._fault = FAULTS[name]
        return web.Response(text=name)

    def _stop_accepting(self) -> None:
        """Nobody takes from the backlog, and it is full: further SYNs are dropped. A new process cures it."""
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.listen(0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(self._listener.getsockname())
            self._stuffing.append(filler)
        for transport in self._open:
            transport.abort()
        self._open.clear()


Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def works(request: web.Request) -> web.StreamResponse:
    return web.Response(text="done")


async def answers_500(request: web.Request) -> web.StreamResponse:
    return web.Response(status=500, text="broken")


async def slow(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(SLOW_S)
    return await works(request)


async def never_answers(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def resets_before_head(request: web.Request) -> web.StreamResponse:
    _reset(request)
    return web.Response()


async def cuts_body(request: web.Request) -> web.StreamResponse:
    """Announces a body, sends half of it and resets the connection."""
    answer = web.StreamResponse(headers={"Content-Length": str(BODY_BYTES)})
    await answer.prepare(request)
    await answer.write(b"x" * (BODY_BYTES // 2))
    await asyncio.sleep(WORK_S)
    _reset(request)
    return answer


async def streams(request: web.Request) -> web.StreamResponse:
    """A body that does not end before its reader leaves."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    try:
        while True:
            await answer.write(b"x" * BODY_BYTES)
    except ConnectionError:
        return answer


async def ejects_itself(request: web.Request) -> web.StreamResponse:
    return web.Response(text="done", headers={"X-Quaymaster-Eject": "2"})


async def fails_half(request: web.Request) -> web.StreamResponse:
    """A mark: `Instance.work` resets every other call by lot."""
    raise AssertionError("not called")


async def never_accepts(request: web.Request) -> web.StreamResponse:
    """A mark: `Instance.set_fault` closes the door."""
    raise AssertionError("not called")


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        *(works, answers_500, slow, never_answers, resets_before_head, cuts_body, streams),
        *(ejects_itself, fails_half, never_accepts),
    )
}


def _reset(request: web.Request) -> None:
    transport = request.transport
    if transport is not None and (connection := transport.get_extra_info("socket")) is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--service", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--consul", required=True)
    parser.add_argument("--seen", type=Path, required=True)
    parser.add_argument("--check", choices=("ttl", "http"), default="ttl")
    parser.add_argument("--ttl", type=float, default=10.0)
    parser.add_argument("--propagation", type=float, default=0.5)
    parser.add_argument("--work", type=float, default=WORK_S)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", given.port), backlog=128)
    control = socket.create_server(("127.0.0.1", given.control), backlog=16)
    instance = Instance(given.name, given.seen, given.work, listener, random.Random(given.seed))
    app = web.Application()
    app.router.add_put("/fault", instance.set_fault)
    app.router.add_get("/health", instance.health)
    app.router.add_route("*", "/{path:.*}", instance.work)
    register(
        app,
        name=given.service,
        id=given.name,
        port=given.port,
        address="127.0.0.1",
        consul=given.consul,
        ttl_s=given.ttl,
        check_http=f"http://127.0.0.1:{given.port}/health" if given.check == "http" else None,
        propagation_s=given.propagation,
    )
    web.run_app(app, sock=[listener, control], print=None, access_log=None, shutdown_timeout=5)


if __name__ == "__main__":
    main()
