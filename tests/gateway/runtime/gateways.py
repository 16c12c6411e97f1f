"""A real gateway on a free port, and what its tests say to it.

Requests here are raw bytes on a socket: what is tested is what stands on the wire, and no client
library mends it first.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import jwt
from aiohttp import EMPTY_PAYLOAD, web
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.request_head import RequestHead, read_head
from gateway.runtime.app import Gateway
from gateway.runtime.client_request import ClientRequest, Repeat
from gateway.runtime.exchange import Exchange
from gateway.runtime.http_server import Handler, HttpServer, Refuse
from gateway.settings import ListenSettings, Settings, load_settings
from gateway.target import Target
from registry.model import Instance
from registry.runtime.clock import unix_now

SECRET = "a secret of the gateway's tests, long enough"
KEY = "an internal key of the tests"
NOWHERE = "http://127.0.0.1:9"
"""An instance for gateways whose instances nobody calls."""
WITHIN_S = 30.0
"""More than any answer here takes, also on a busy machine."""

ROUTES: tuple[dict[str, Any], ...] = (
    {"path": "/open/*", "service": "auth", "access": "public"},
    {"path": "/mine/*", "service": "auth", "access": "user"},
    {"path": "/inside/*", "service": "auth", "access": "internal"},
)


def settings_text(*instances: Instance, routes: Iterable[dict[str, Any]] = ROUTES, **sections: Any) -> str:
    """A settings file (JSON is YAML): `auth` at fixed addresses, a free port, no registry.

    A section that is given is laid over the one here, key by key. There is no pool of handlers unless
    one is given.
    """
    urls = [f"http://127.0.0.1:{instance.port}" for instance in instances] or [NOWHERE]
    document: dict[str, Any] = {
        "listen": {"port": 0, "drain_s": 0, "shutdown_timeout_s": 2},
        "registry": {"backend": "static", "register_as": None},
        "identity": {"secret": SECRET},
        "services": {"auth": {"instances": urls}},
        "routes": list(routes),
        "handlers": None,
        "logging": {"level": "error"},
    }
    for name, section in sections.items():
        document[name] = (document.get(name) or {}) | section if isinstance(section, dict) else section
    return json.dumps(document)


def settings_of(*instances: Instance, **sections: Any) -> Settings:
    """The settings of `settings_text`."""
    loaded = load_settings(settings_text(*instances, **sections), environment={})
    assert isinstance(loaded, Settings), str(loaded)
    return loaded


@asynccontextmanager
async def gateway(*instances: Instance, **sections: Any) -> AsyncIterator[Gateway]:
    """A gateway in front of these instances of `auth`, once it knows where they are."""
    async with Gateway(settings_of(*instances, **sections)) as running:
        await ready(running.port)
        yield running


async def eventually(condition: Callable[[], Awaitable[bool]], within_s: float = WITHIN_S) -> None:
    """Returns once the condition holds. Raises `TimeoutError` when it does not come to that."""
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - it is asked over a socket
            await asyncio.sleep(0.01)


async def ready(port: int, within_s: float = WITHIN_S) -> None:
    """Returns once `/health/ready` says so."""

    async def says_so() -> bool:
        return (await ask(port, "GET", "/health/ready")).status == 200

    await eventually(says_so, within_s)


def token(uid: str = "ada", *, secret: str = SECRET, lifetime_s: float = 3600, **claims: Any) -> str:
    return jwt.encode({"sub": uid, "exp": unix_now() + lifetime_s, **claims}, secret, "HS256")


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One answer as it stood on the wire; a chunked body is put together."""

    version: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str:
        """The only value of that header."""
        (value,) = self.all(name)
        return value

    def json(self) -> Any:
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"{self.status} {self.headers} {self.body!r}"


class Wire:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, *parts: bytes | str) -> None:
        for part in parts:
            self.writer.write(part.encode() if isinstance(part, str) else part)
        await self.writer.drain()

    async def answer(self, *, to_head: bool = False) -> RawAnswer:
        """The next answer. Raises `IncompleteReadError` or `ConnectionError` for one that is cut short."""
        async with asyncio.timeout(WITHIN_S):
            version, status, headers = await self.head()
            found = RawAnswer(version, status, headers, b"")
            if to_head or status in (204, 304) or status < 200:
                return found
            if found.all("Transfer-Encoding"):
                body = await self._chunks()
            elif found.all("Content-Length"):
                body = await self.reader.readexactly(int(found.one("Content-Length")))
            else:
                body = await self.reader.read()
        return RawAnswer(version, status, headers, body)

    async def head(self) -> tuple[str, int, tuple[tuple[str, str], ...]]:
        """Status line and headers."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        version, status, _ = f"{lines[0]} ".split(" ", 2)
        pairs = (line.partition(":") for line in lines[1:] if line)
        return version, int(status), tuple((name, value.strip()) for name, _, value in pairs)

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readuntil(b"\r\n")
        return body

    async def rest(self) -> bytes:
        """Everything until the other side ends the connection, properly or by a reset."""
        async with asyncio.timeout(WITHIN_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


@asynccontextmanager
async def wire(port: int) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


def request(method: str, target: str, *headers: str, body: bytes = b"", host: str = "localhost") -> bytes:
    """The bytes of a request; `headers` are whole lines."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def ask(port: int, method: str, target: str, *headers: str, body: bytes = b"") -> RawAnswer:
    """One request on a connection of its own."""
    async with wire(port) as client:
        await client.say(request(method, target, *headers, body=body))
        return await client.answer(to_head=method == "HEAD")


async def post_json(port: int, target: str, body: object, *headers: str) -> RawAnswer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await ask(port, "POST", target, "Content-Type: application/json", *headers, body=content)


async def in_flight(port: int) -> int:
    """Calls in flight and live hand-outs, over all instances."""
    services = (await ask(port, "GET", "/health/detailed")).json()["services"].values()
    return sum(instance["active"] for service in services for instance in service["instances"])


async def until_idle(port: int, within_s: float = WITHIN_S) -> None:
    """Returns once nothing is in flight any more."""

    async def is_idle() -> bool:
        return await in_flight(port) == 0

    await eventually(is_idle, within_s)


def said(head: bytes, name: str) -> list[str]:
    """The values of a header in the head of a request that an origin has read."""
    lines = (line.partition(":") for line in head.decode().split("\r\n")[1:])
    return [value.strip() for key, _, value in lines if key.lower() == name.lower()]


@asynccontextmanager
async def serving(handler: Handler, refuse: Refuse | None = None, **listen: Any) -> AsyncIterator[int]:
    """The gateway's server around any handler; yields its port."""
    async with server_of(handler, refuse, **listen) as (_, port):
        yield port


@asynccontextmanager
async def server_of(
    handler: Handler, refuse: Refuse | None = None, **listen: Any
) -> AsyncIterator[tuple[HttpServer, int]]:
    """The same with the server itself."""
    settings = ListenSettings(**listen)
    server = HttpServer(
        handler, refuse or refused, settings, turn_away=turn_away, turned_away=lambda: TURNED_AWAY
    )
    runner = web.ServerRunner(server, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield server, runner.addresses[0][1]
    finally:
        await runner.cleanup()


def refused(reason: str) -> bytes:
    """A refusal whose body is its reason."""
    head = f"HTTP/1.1 400 No\r\nContent-Length: {len(reason)}\r\nConnection: close\r\n\r\n"
    return (head + reason).encode()


TURNED_AWAY = b"HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\noverloaded"


def turn_away(request: ClientRequest) -> None:
    request.send(503, (), b"overloaded")


def send_text(request: ClientRequest, text: str) -> None:
    request.send(200, (("Content-Type", "text/plain"),), text.encode())


class NoConnection:
    """What a request that was never on a wire has for a connection."""

    transport: asyncio.Transport | None = None
    peer = "127.0.0.1"
    body_idle_s = 10.0
    remembered: RequestHead | None = None
    repeat: Repeat | None = None
    writing_paused = False

    def is_ending(self) -> bool:
        return False

    async def drained(self) -> None:
        raise AssertionError("nothing is written here")

    def take_over(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport, bytes]:
        raise AssertionError("there is nothing to take")


def unsent_request(method: str, target: str, **headers: str) -> ClientRequest:
    """A request for what only reads requests. Underscores in names are hyphens."""
    pairs = CIMultiDict((name.replace("_", "-"), value) for name, value in headers.items())
    return ClientRequest(
        NoConnection(),
        method,
        target,
        (1, 1),
        CIMultiDictProxy(pairs),
        tuple((name.encode(), value.encode()) for name, value in pairs.items()),
        EMPTY_PAYLOAD,
    )


def exchange_for(request: ClientRequest, **known: Any) -> Exchange:
    """What the dispatcher would know of this request before anything is decided."""
    path, mark, query = request.target.partition("?")
    facts: Mapping[str, Any] = {
        "head": read_head(request.headers, request.raw_headers, "127.0.0.1", ()),
        "request_id": "request-1",
        "started_at": 0.0,
        "target": Target(path, mark + query, "localhost"),
        **known,
    }
    return Exchange(request=request, **facts)
