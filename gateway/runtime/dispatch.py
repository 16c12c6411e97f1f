"""One request through the gateway: is it one, where does it go, may it, is there room, carry it out.

The checks stand in the order in which they cost least and tell least: a malformed request is refused
before it is routed, a caller who may not is refused before anything is counted or asked upstream.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable

import structlog

from gateway.answer_head import HTTP_1_1, whole_answer
from gateway.client_address import (
    internal_key_matches,
    is_internal,
    may_speak_for_a_page,
)
from gateway.cors import answer_headers, is_preflight, preflight_headers
from gateway.errors import GatewayError, Reason, from_bad_target, gateway_error
from gateway.identity import Rejected, Verifier, uid_problem
from gateway.limiters.base import Limiter
from gateway.limits import rate_headers, rules_for
from gateway.request_head import Counted, read_head
from gateway.request_ids import RequestIds
from gateway.runtime.access_log import AccessLog
from gateway.runtime.client_request import ClientRequest
from gateway.runtime.endpoints.endpoint import Endpoint
from gateway.runtime.exchange import Exchange
from gateway.runtime.forward import Forwarder
from gateway.runtime.metrics import Metrics
from gateway.runtime.places import Place
from gateway.runtime.reply import Reply, error_reply, send
from gateway.runtime.rules import Rules, rules_of
from gateway.settings import Settings
from gateway.target import BadTarget
from gateway.windows import Rule
from registry.runtime.clock import unix_now

log = structlog.get_logger()

OVERLOADED = gateway_error(Reason.OVERLOADED)
ID_HERE = "#" * 32
"""As long as a request id of ours, for which it stands."""

CLIENT_CLOSED = 499
"""What nginx logs for a client that went away before its answer; never sent to anybody."""


class Dispatcher:
    """The handler of every request. `verifier` is `None` where no route asks who somebody is."""

    def __init__(
        self,
        settings: Settings,
        *,
        endpoints: Iterable[Endpoint],
        forwarder: Forwarder,
        verifier: Verifier | None,
        limiter: Limiter,
        metrics: Metrics,
        access_log: AccessLog,
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = unix_now,
    ) -> None:
        self.rules = rules_of(settings, endpoints, verifier)
        """Replaced whole when the settings change."""
        self._forwarder = forwarder
        self._limiter = limiter
        self._metrics = metrics
        self._access_log = access_log
        self._clock = clock
        self._unix_clock = unix_clock
        self._ids = RequestIds(secrets.token_hex(8))
        self._turned_away = (0, b"")
        """The second it was made in, and the answer."""

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
            except Exception as error:  # noqa: BLE001  no traceback reaches a client
                end = self._own_fault(exchange, error)
            if end is not None:
                self._send(exchange, end)
            # An answer that could not be written whole ended its connection.
            status, delivered = request.status, request.connected
        finally:
            if not delivered and exchange.on_undelivered is not None:
                await asyncio.shield(exchange.on_undelivered())
            seconds = self._clock() - exchange.started_at
            self._metrics.answered(exchange.route, request.method, status, seconds)
            if not exchange.quiet or status >= 400:
                self._access_log.write(exchange, status, seconds)

    def _open(self, request: ClientRequest, rules: Rules) -> Exchange:
        head = request.remembered
        if head is None or head.raw != request.raw_headers:
            trusted = rules.settings.listen.trusted_proxies
            head = read_head(request.headers, request.raw_headers, request.peer, trusted)
            request.remember(head)
        return Exchange(request, head, head.request_id or self._ids.next(), self._clock())

    def _own_fault(self, exchange: Exchange, error: Exception) -> GatewayError:
        """For an exception that nobody expected. Raises `ConnectionResetError` inside of an answer."""
        log.error("request_failed", request_id=exchange.request_id, path=exchange.target.path, exc_info=error)
        if exchange.request.head_sent:
            raise ConnectionResetError("failed in the middle of an answer") from None
        return gateway_error(Reason.INTERNAL_ERROR)

    def _send(self, exchange: Exchange, end: Reply | GatewayError) -> None:
        if isinstance(end, GatewayError):
            exchange.reason = end.reason
            self._metrics.refused(end.reason)
            end = error_reply(end, exchange.request_id)
        send(exchange, end)

    async def _decide(self, exchange: Exchange, rules: Rules) -> Reply | GatewayError | None:
        """What to answer; `None` when an instance's answer has gone out already."""
        request, head = exchange.request, exchange.head
        place = rules.places.find(request.method, request.target, request.version, head.hosts)
        if isinstance(place, BadTarget):
            request.keep_alive = False
            return from_bad_target(place)
        exchange.target = place.target
        cors = rules.cors
        if cors is not None:
            if is_preflight(
                request.method, head.origin, asked := exchange.header("Access-Control-Request-Method")
            ):
                wanted = exchange.header("Access-Control-Request-Headers")
                return Reply(204, b"", preflight_headers(cors, head.origin, asked, wanted))
            exchange.headers = answer_headers(cors, head.origin)
        exchange.route = place.name
        if place.end is not None:
            return place.end
        if place.limited or place.access != "public":
            refused = await self._admit(exchange, place, rules)
            if refused is not None:
                return refused
        if place.prepared is not None:
            return await self._forwarder.carry(exchange, place.prepared, place.upstream_target)
        assert place.endpoint is not None
        exchange.quiet = place.endpoint.quiet
        return await place.endpoint.answer(exchange)

    async def _admit(self, exchange: Exchange, place: Place, rules: Rules) -> GatewayError | None:
        """Whether the caller may, and not too often; who it is stands in the exchange afterwards."""
        refused: GatewayError | None = None
        if place.access == "internal":
            return None if _is_internal(exchange, rules) else gateway_error(Reason.FORBIDDEN)
        if place.access == "user":
            refused = self._identify(exchange, rules.verifier)
        if place.limited:
            windows = _windows(exchange, place, rules)
            verdict = await self._limiter.hit(windows) if windows else None
            if verdict is not None:
                exchange.headers += rate_headers(verdict)
                if not verdict.allowed:
                    return gateway_error(Reason.RATE_LIMITED)
        return refused

    def _identify(self, exchange: Exchange, verifier: Verifier | None) -> GatewayError | None:
        head = exchange.head
        token = head.token
        if token is None:
            return gateway_error(Reason.MISSING_TOKEN)
        if isinstance(token, Rejected):
            return token.error()
        if verifier is None:
            raise RuntimeError("a route needs users and no verifier was built")
        user = verifier.verify(token, self._unix_clock())
        if isinstance(user, Rejected):
            return user.error()
        if (mismatch := uid_problem(user, head.uids, exchange.target.query)) is not None:
            return mismatch.error()
        exchange.user = user
        return None

    def turn_away(self, request: ClientRequest) -> None:
        """Answers a request that is not looked at, as there are too many. It has no line in the log."""
        self._metrics.refused(Reason.OVERLOADED)
        request_id = self._ids.next()
        reply = error_reply(OVERLOADED, request_id)
        request.send(reply.status, (*reply.headers, ("X-Request-Id", request_id)), reply.body)

    def turned_away(self) -> bytes:
        """The same, to a GET whose connection stays: made once a second but for its id."""
        self._metrics.refused(Reason.OVERLOADED)
        second = int(self._unix_clock())
        if self._turned_away[0] != second:
            reply = error_reply(OVERLOADED, ID_HERE)
            own = (*reply.headers, ("X-Request-Id", ID_HERE))
            answer = whole_answer(
                "GET", HTTP_1_1, reply.status, own, reply.body, keep_alive=True, second=second
            )
            self._turned_away = second, answer
        return self._turned_away[1].replace(ID_HERE.encode(), self._ids.next().encode())

    def refuse(self, reason: str) -> bytes:
        """The answer to bytes that are no request, and to a connection too many; `HttpServer` sends it."""
        error = gateway_error(Reason(reason))
        self._metrics.refused(error.reason)
        request_id = self._ids.next()
        reply = error_reply(error, request_id)
        own = (*reply.headers, ("X-Request-Id", request_id))
        now = int(self._unix_clock())
        return whole_answer("GET", HTTP_1_1, reply.status, own, reply.body, keep_alive=False, second=now)


def _windows(exchange: Exchange, place: Place, rules: Rules) -> tuple[Rule, ...]:
    head, route, user = exchange.head, place.route, exchange.user
    counted = head.counted
    if counted is None or counted.route is not route or counted.user is not user:
        windows = rules_for(rules.settings.limits, route, head.client, user)
        head.counted = counted = Counted(route, user, windows)
    return counted.rules


def _is_internal(exchange: Exchange, rules: Rules) -> bool:
    """Judged once for as long as a client repeats its headers and the host it asks."""
    head, host = exchange.head, exchange.target.host
    if head.internal is None or head.internal[0] != host:
        head.internal = (host, _judge_internal(exchange, rules))
    return head.internal[1]


def _judge_internal(exchange: Exchange, rules: Rules) -> bool:
    if internal_key_matches(exchange.header("X-Internal-Key"), rules.internal_key):
        return True
    host, origin, site = exchange.target.host, exchange.header("Origin"), exchange.header("Sec-Fetch-Site")
    if may_speak_for_a_page(exchange.client, host, origin, site):
        return False
    return is_internal(exchange.client, rules.settings.internal.networks)
