"""One request at the cache, and how it is answered with what is kept."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from balancer.model import Headers
from gateway.answer_head import Pairs
from gateway.cache_keys import CacheKey, asker_key, read_lines, uri_key
from gateway.caching import Asked, Plan, Stored, is_known_to, read_asked
from gateway.conditional import of_a_304
from gateway.runtime.exchange import Exchange
from gateway.runtime.forward import Forwarder
from gateway.runtime.prepared import Prepared

STATUS = "Cache-Status"
NAME = "quaymaster"
AT_ONCE = 64 * 1024
"""Bytes of a body that are written without waiting for the client to take them."""


@dataclass(slots=True)
class Lookup:
    exchange: Exchange
    prepared: Prepared
    plan: Plan
    target: str
    """What goes upstream."""
    key: CacheKey
    asked: Asked
    clock: Callable[[], float]
    """Unix seconds."""

    @property
    def fills(self) -> bool:
        """Whether the answer to this request is one that may be kept."""
        return self.exchange.request.method == "GET" and not self.asked.control.no_store

    @property
    def lane(self) -> bytes:
        """Added to a variant: who may be known to an instance waits only for answers to such requests."""
        return b"personal" if self.asked.personal else b""

    def note(self, result: str, told: str) -> None:
        """How the cache was used: for the log, and for the client (RFC 9211)."""
        self.exchange.cache = result
        self.exchange.headers += ((STATUS, f"{NAME}; {told}"),)

    def shaped(self, theirs: Headers) -> Headers:
        """An instance's headers as the route changes them."""
        shaping = self.prepared.answer_shaping
        return theirs if shaping is None else shaping.of(theirs)

    def left_s(self, stored: Stored) -> int:
        """How long it is fresh yet, as `Cache-Status` says it."""
        return int(stored.left_s(self.clock()))

    async def stand_in(self, stored: Stored, why: str) -> None:
        """An older answer, as nobody gives a better one."""
        self.note("stale", f"fwd=stale; ttl={self.left_s(stored)}{why}")
        await self.send(stored)

    async def send(self, stored: Stored) -> None:
        """A kept answer, or that the client has it already. Raises as `ClientRequest.write` does."""
        exchange = self.exchange
        own = exchange.answer_headers()
        theirs = self.shaped([*stored.headers, (b"Age", b"%d" % stored.age_s(self.clock()))])
        if is_known_to(self.asked, stored):
            exchange.request.send(304, own, theirs=of_a_304(theirs))
            return
        await _send_whole(exchange, stored, own, [*theirs, (b"Content-Length", b"%d" % len(stored.body))])


async def _send_whole(exchange: Exchange, stored: Stored, own: Pairs, theirs: Headers) -> None:
    request, body = exchange.request, stored.body
    if len(body) <= AT_ONCE or request.method == "HEAD":
        request.send(stored.status, own, body, reason=stored.reason, theirs=theirs)
        return
    request.begin(stored.status, own, reason=stored.reason, theirs=theirs)
    try:
        for at in range(0, len(body), AT_ONCE):
            await request.write(body[at : at + AT_ONCE])
        request.end()
    except TimeoutError:
        exchange.reason = "client_stalled"
        request.cut_off()


def look_up(
    forwarder: Forwarder,
    exchange: Exchange,
    prepared: Prepared,
    plan: Plan,
    target: str,
    clock: Callable[[], float],
) -> Lookup:
    """What a GET or HEAD asks the cache for. `target` is what would go upstream."""
    lines = forwarder.lines(exchange, prepared)
    made = exchange.head.forwarded
    assert made is not None
    asker = made.asked
    if not isinstance(asker, _Asker):
        asker = made.asked = _read_asker(exchange, plan, lines.data)
    asked = asker.asked
    if exchange.request.body_exists:
        asked = asked._replace(bypass="body")
    key = CacheKey(uri_of(exchange), asker.key, target.encode(), asked.headers)
    return Lookup(exchange, prepared, plan, target, key, asked, clock)


class _Asker(NamedTuple):
    """What a client says of itself with each request, read once for as long as it repeats that."""

    asked: Asked
    key: bytes


def _read_asker(exchange: Exchange, plan: Plan, lines: bytes) -> _Asker:
    sent = read_lines(lines)
    user = exchange.user if plan.per_user else None
    asked = read_asked(sent, user is not None)
    if exchange.head.expects or exchange.head.upgrades:
        asked = asked._replace(bypass="upgrade")
    return _Asker(asked, asker_key(plan.id, plan.vary, user, sent))


def uri_of(exchange: Exchange) -> bytes:
    """The key of all that is kept of what was asked for."""
    target = exchange.target
    return uri_key(target.host, target.path + target.query)
