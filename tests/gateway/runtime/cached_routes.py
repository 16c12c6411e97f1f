"""A gateway whose routes have a cache, in front of real origins, on a clock of its own."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from gateway.caches.base import Cache
from gateway.caches.memory import MemoryCache
from gateway.runtime.cached import CachedForwarder
from gateway.runtime.forward import Forwarder
from gateway.runtime.metrics import Metrics
from registry.model import Instance
from tests.balancer.origins import Behaviour, Connection
from tests.gateway.runtime.dispatchers import dispatcher
from tests.gateway.runtime.gateways import RawAnswer, ask, serving, settings_of

START = 1_800_000_000.0
QUICK = {"connect_s": 1, "first_byte_s": 1, "idle_s": 1, "total_s": 2}


@dataclass
class Stage:
    """What a test turns."""

    port: int = 0
    now: float = START
    counted: list[tuple[str, str]] = field(default_factory=list)
    """Route and result, as the metrics were told."""
    forwarders: list[CachedForwarder] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        """Requests that wait for a call of another."""
        return sum(forwarder.flights.waiting for forwarder in self.forwarders)

    @property
    def date(self) -> str:
        return formatdate(self.now, usegmt=True)

    async def get(
        self, target: str = "/open/x", *headers: str, method: str = "GET", body: bytes = b""
    ) -> RawAnswer:
        return await ask(self.port, method, target, *headers, body=body)


class _Counting(Metrics):
    def __init__(self, counted: list[tuple[str, str]]) -> None:
        super().__init__("test")
        self._counted_here = counted

    def cached(self, route: str, result: str) -> None:
        self._counted_here.append((route, result))


@asynccontextmanager
async def stage(
    *instances: Instance,
    cache: Cache | None = None,
    max_bytes: int = 1 << 20,
    max_entry_bytes: int = 1 << 18,
    access: str = "public",
    more: tuple[dict[str, Any], ...] = (),
    **route: Any,
) -> AsyncIterator[Stage]:
    """`route` are settings of /open/*, where `cache` is called `kept`; `more` are other routes."""
    here = Stage()
    kept = route.pop("kept", {})
    own = {"path": "/open/*", "service": "auth", "access": access, "timeouts": QUICK, "cache": kept} | route
    urls = [f"http://127.0.0.1:{instance.port}" for instance in instances]
    # Instances at fixed addresses have no tags.
    tagged = any(instance.tags for instance in instances)
    services = {"auth": {} if tagged else {"instances": urls}}
    registry = {"backend": "consul" if tagged else "static"}
    settings = settings_of(*instances, routes=[own, *more], services=services, registry=registry)

    def cached(forwarder: Forwarder, metrics: Metrics) -> CachedForwarder:
        made = CachedForwarder(
            forwarder,
            cache or MemoryCache(max_bytes, clock=lambda: here.now),
            metrics,
            max_bytes=max_bytes,
            max_entry_bytes=max_entry_bytes,
            clock=lambda: here.now,
        )
        here.forwarders.append(made)
        return made

    async with (
        dispatcher(settings, instances=instances, metrics=_Counting(here.counted), cached=cached) as (
            handler,
            _,
        ),
        serving(handler) as here.port,
    ):
        yield here


def response(body: bytes | str = b"hello", *headers: str, status: str = "200 OK") -> bytes:
    """The bytes of an answer; `headers` are whole lines."""
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def says(*answers: bytes | Callable[[bytes], bytes]) -> Behaviour:
    """One after the other, over all connections; the last one again and again. A callable gets the head."""
    left = list(answers)

    async def behaviour(connection: Connection) -> None:
        while True:
            head = await connection.request()
            this = left.pop(0) if len(left) > 1 else left[0]
            data = this(head) if callable(this) else this
            if head.startswith(b"HEAD "):
                data = data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            await connection.say(data)

    return behaviour


FRESH = "Cache-Control: max-age=60"
"""For a minute, for everybody."""
