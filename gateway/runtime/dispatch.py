"""One request through the gateway: is it one, where does it go, may it, is there room, carry it out.

The checks stand in the order in which they cost least and tell least: a malformed request is refused
before it is routed, a caller who may not is refused before anything is counted or asked upstream.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable

import structlog

from gateway.answer_head import SWITCHED
from gateway.cors import is_preflight
from gateway.errors import GatewayError, Reason, from_bad_target, gateway_error
from gateway.limiters.base import Limiter
from gateway.request_head import read_head
from gateway.request_ids import RequestIds
from gateway.runtime.access_log import AccessLog
from gateway.runtime.admission import Admission
from gateway.runtime.cached import CachedForwarder
from gateway.runtime.client_request import ClientRequest
from gateway.runtime.endpoints.endpoint import Endpoint
from gateway.runtime.exchange import Exchange
from gateway.runtime.forward import Forwarder
from gateway.runtime.identities import Identities
from gateway.runtime.metrics import Metrics
from gateway.runtime.refusals import Refusals
from gateway.runtime.reply import Reply, error_reply, send
from gateway.runtime.rules import Rules, rules_of
from gateway.runtime.tracing import Tracing
from gateway.settings import Settings
from gateway.target import BadTarget
from registry.runtime.clock import unix_now

log = structlog.get_logger()

NO_CONTENT = Reply(204, b"", ())

CLIENT_CLOSED = 499
"""What nginx logs for a client that went away before its answer; never sent to anybody."""


class Dispatcher:
    """The handler of every request."""

    def __init__(
        self,
        settings: Settings,
        *,
        endpoints: Iterable[Endpoint],
        forwarder: Forwarder,
        identities: Identities,
        limiter: Limiter,
        metrics: Metrics,
        access_log: AccessLog,
        cached: CachedForwarder | None = None,
        tracing: Tracing | None = None,
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = unix_now,
    ) -> None:
        self.rules = rules_of(settings, endpoints)
        """Replaced whole when the settings change."""
        self._forwarder = forwarder
        self._cached = cached
        self._identities = identities
        self._admission = Admission(identities, limiter, metrics, unix_clock)
        self._metrics = metrics
        self._access_log = access_log
        self._tracing = tracing
        self._clock = clock
        self._unix_clock = unix_clock
        self._ids = RequestIds(secrets.token_hex(8))
        self.refusals = Refusals(self._ids, metrics, clock, unix_clock)

    async def __call__(self, request: ClientRequest) -> None:
        """Answers one request. Only cancellation and a lost connection leave it as exceptions."""
        rules = self.rules
        exchange = self._open(request, rules)
        status, delivered = CLIENT_CLOSED, False
        try:
            try:
                end = await self._decide(exchange, rules)
            except ConnectionError:
                raise
            except asyncio.CancelledError:
                if request.status == SWITCHED:
                    status = SWITCHED  # Nobody waited for an answer any more: so WebSockets end.
                raise
            except Exception as error:  # noqa: BLE001  no traceback reaches a client
                end = self._own_fault(exchange, error)
            if end is not None:
                self._send(exchange, end)
            # An answer that could not be written whole ended its connection.
            status, delivered = request.status, request.connected
        finally:
            if exchange.revokes:
                await self._revoke(exchange)
            if not delivered and exchange.on_undelivered is not None:
                await asyncio.shield(exchange.on_undelivered())
            self._note(exchange, status)

    def _open(self, request: ClientRequest, rules: Rules) -> Exchange:
        head = request.remembered
        if head is None or head.raw != request.raw_headers:
            trusted = rules.settings.listen.trusted_proxies
            head = read_head(request.headers, request.raw_headers, request.peer, trusted)
            request.remember(head)
        exchange = Exchange(request, head, head.request_id or self._ids.next(), self._clock())
        if rules.process_time:
            exchange.clock = self._clock
        if self._tracing is not None:
            exchange.span = self._tracing.begin(head.trace.context)
        return exchange

    def _note(self, exchange: Exchange, status: int) -> None:
        """For the operator, once it is over."""
        seconds = self._clock() - exchange.started_at
        self._metrics.answered(exchange.route, exchange.request.method, status, seconds)
        if exchange.version is not None:
            self._metrics.versioned(exchange.route, exchange.version, status)
        if not exchange.quiet or status >= 400:
            self._access_log.write(exchange, status, seconds)
        if exchange.span is not None:
            exchange.span.end(exchange, status)

    def _own_fault(self, exchange: Exchange, error: Exception) -> GatewayError:
        """For an exception that nobody expected. Raises `ConnectionResetError` inside of an answer."""
        log.error("request_failed", request_id=exchange.request_id, path=exchange.target.path, exc_info=error)
        if exchange.request.head_sent:
            raise ConnectionResetError("failed in the middle of an answer") from None
        return gateway_error(Reason.INTERNAL_ERROR)

    async def _revoke(self, exchange: Exchange) -> None:
        """After the answer of a logout, also if its client did not wait for it."""
        if exchange.user is not None and 0 < exchange.request.status < 400:
            await self._identities.revoke(exchange.user, self._unix_clock())

    def _send(self, exchange: Exchange, end: Reply | GatewayError) -> None:
        if isinstance(end, GatewayError):
            exchange.reason = end.reason
            self._metrics.refused(end.reason)
            end = error_reply(end, exchange.request_id)
            if exchange.refused_by:
                self.refusals.prepare(exchange, end)
        send(exchange, end)

    async def _decide(self, exchange: Exchange, rules: Rules) -> Reply | GatewayError | None:
        """What to answer; `None` when an instance's answer has gone out already."""
        # Where it goes, and what its browser must be told whatever comes of it.
        request, head, cors = exchange.request, exchange.head, rules.cors
        place = rules.places.find(request.method, request.target, request.version, head.hosts)
        if cors is not None:
            exchange.headers = cors.answer_headers(head.origin)
        if isinstance(place, BadTarget):
            request.keep_alive = False
            return from_bad_target(place)
        exchange.target = place.target
        if cors is not None and request.method == "OPTIONS":
            asked = exchange.header("Access-Control-Request-Method")
            if is_preflight(head.origin, asked):
                wanted = exchange.header("Access-Control-Request-Headers")
                exchange.headers = cors.preflight_headers(head.origin, asked, wanted)
                return NO_CONTENT
        exchange.route = place.name
        if place.end is not None:
            return place.end
        # Whether it may.
        if place.limits is not None or place.access != "public":
            refused = await self._admission.judge(exchange, place, rules)
            if refused is not None:
                return refused
        # Carried out, by an instance or here.
        prepared = place.prepared
        if prepared is not None:
            if place.choice is not None:
                chosen = place.choice(exchange)
                if isinstance(chosen, GatewayError):
                    return chosen
                prepared, exchange.version = chosen, chosen.version
            if prepared.cache is not None and self._cached is not None:
                return await self._cached.carry(exchange, prepared, place.upstream_target)
            return await self._forwarder.carry(exchange, prepared, place.upstream_target)
        if place.reply is not None:
            return place.reply
        assert place.endpoint is not None
        exchange.quiet = place.endpoint.quiet
        return await place.endpoint.answer(exchange)
