"""An instance that keeps every byte it was sent, and answers each whole request with what it saw."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from registry.model import Instance
from tests.balancer.origins import Connection, Origin
from tests.conformance.oracle import Request, Requests, requests_in

Answering = Callable[[Request, int], bytes]
"""A request, and how many were seen before it -> the bytes of the answer."""


def echo(request: Request, number: int) -> bytes:
    """The body that came, and in `X-Saw` what it came with."""
    saw = json.dumps([number, request.method.decode(), request.target.decode("latin-1")])
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Saw: {saw}\r\n"
    if request.method == b"OPTIONS":
        return f"HTTP/1.1 204 No Content\r\nAllow: GET, OPTIONS\r\nX-Saw: {saw}\r\n\r\n".encode()
    body = b"" if request.method == b"HEAD" else request.body
    return f"{head}Content-Length: {len(request.body)}\r\n\r\n".encode() + body


@dataclass(slots=True)
class Recorder:
    """What reached an instance, by connection."""

    answering: Answering = echo
    raw: list[bytearray] = field(default_factory=list)
    origin: Origin | None = None

    @property
    def instance(self) -> Instance:
        assert self.origin is not None
        return self.origin.instance

    def connections(self) -> list[Requests]:
        """What h11 reads on each connection that said something."""
        return [requests_in(bytes(raw)) for raw in self.raw if raw]

    def requests(self) -> list[Request]:
        """Every whole request, by connection."""
        return [request for connection in self.connections() for request in connection.whole]

    def problem(self) -> str | None:
        """What is wrong with the bytes that came, on any connection."""
        return next((f"{found.problem}" for found in self.connections() if found.problem), None)

    def begun(self) -> bool:
        """Whether any byte came."""
        return any(self.raw)

    def forget(self) -> None:
        """Begins anew; what connections are open stay so. Call it between requests only."""
        for raw in self.raw:
            raw.clear()

    async def serve(self, connection: Connection) -> None:
        raw = bytearray()
        self.raw.append(raw)
        answered = 0
        while data := await connection.reader.read(1 << 16):
            if not raw:
                answered = 0
            raw += data
            for request in requests_in(bytes(raw)).whole[answered:]:
                answered += 1
                await connection.say(self.answering(request, answered - 1))


@asynccontextmanager
async def recorder(answering: Answering = echo) -> AsyncIterator[Recorder]:
    """A recording instance on a socket of its own."""
    kept = Recorder(answering)
    kept.origin = Origin(kept.serve, "recorder", 1)
    await kept.origin.start()
    try:
        yield kept
    finally:
        await kept.origin.stop()
