"""One request through the gateway: is it one, where does it go, may it, is there room, carry it out.

The checks stand in the order in which they cost least and tell least: a malformed request is refused
before it is routed, a caller who may not is refused before anything is counted or asked upstream.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Literal

import structlog

from gateway.answer_head import HTTP_1_1, answer_head
from gateway.client_address import (
    RELAY_SIGNS,
    find_client,
    internal_key_matches,
    is_internal,
    may_speak_for_a_page,
)
from gateway.cors import answer_headers, is_preflight, preflight_headers
from gateway.errors import GatewayError, Reason, from_bad_target, gateway_error, usable_request_id
from gateway.identity import Rejected, Verifier, credentials, uid_problem
from gateway.limiters.base import Limiter
from gateway.limits import rate_headers, rules_for
from gateway.routes import Match, MethodNotAllowed, NoRoute, RouteTable
from gateway.runtime.access_log import AccessLog
from gateway.runtime.client_request import ClientRequest
from gateway.runtime.endpoints.endpoint import Endpoint
from gateway.runtime.exchange import Exchange
from gateway.runtime.forward import Forwarder
from gateway.runtime.metrics import Metrics
from gateway.runtime.reply import Reply, error_reply, send
from gateway.settings import RouteSettings, Settings
from gateway.target import CARRIED, BadTarget, read_target
from registry.runtime.clock import unix_now

log = structlog.get_logger()

CLIENT_CLOSED = 499
"""What nginx logs for a client that went away before its answer; never sent to anybody."""

Access = Literal["public", "user", "internal"]


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
        self._settings = settings
        self._routes = RouteTable(settings.routes)
        endpoints = list(endpoints)
        self._endpoints = {endpoint.path: endpoint for endpoint in endpoints if not endpoint.prefix}
        self._prefixes = [endpoint for endpoint in endpoints if endpoint.prefix]
        self._forwarder = forwarder
        self._verifier = verifier
        self._limiter = limiter
        self._metrics = metrics
        self._access_log = access_log
        self._clock = clock
        self._unix_clock = unix_clock
        key = settings.internal.key
        self._internal_key = key.get_secret_value() if key else ""

    async def __call__(self, request: ClientRequest) -> None:
        """Answers one request. Only cancellation and a lost connection leave it as exceptions."""
        exchange = self._open(request)
        status, delivered = CLIENT_CLOSED, False
        try:
            await self._answer(exchange)
            # An answer that could not be written whole ended its connection.
            status, delivered = request.status, request.connected
        finally:
            if not delivered and exchange.on_undelivered is not None:
                await asyncio.shield(exchange.on_undelivered())
            seconds = self._clock() - exchange.started_at
            self._metrics.answered(exchange.route, request.method, status, seconds)
            if not exchange.quiet or status >= 400:
                self._access_log.write(exchange, status, seconds)

    def _open(self, request: ClientRequest) -> Exchange:
        given = request.headers.get("X-Request-Id", "")
        return Exchange(
            request=request,
            request_id=given if usable_request_id(given) else uuid.uuid4().hex,
            client=find_client(
                request.peer,
                request.headers.getall("X-Forwarded-For", ()),
                request.headers.getall("X-Forwarded-Proto", ()),
                self._settings.listen.trusted_proxies,
                relay_signs=any(name in request.headers for name in RELAY_SIGNS),
            ),
            started_at=self._clock(),
        )

    async def _answer(self, exchange: Exchange) -> None:
        try:
            end = await self._decide(exchange)
        except ConnectionError:
            raise
        except Exception:
            log.exception("request_failed", request_id=exchange.request_id, path=exchange.target.path)
            if exchange.request.head_sent:
                raise ConnectionResetError("failed in the middle of an answer") from None
            end = gateway_error(Reason.INTERNAL_ERROR)
        if isinstance(end, GatewayError):
            exchange.reason = end.reason
            self._metrics.refused(end.reason)
            end = error_reply(end, exchange.request_id)
        if end is not None:
            send(exchange, end)

    async def _decide(self, exchange: Exchange) -> Reply | GatewayError | None:
        """What to answer; `None` when an instance's answer has gone out already."""
        request = exchange.request
        target = read_target(
            request.method,
            request.target,
            request.version,
            request.headers.getall("Host", ()),
        )
        if isinstance(target, BadTarget):
            request.keep_alive = False
            return from_bad_target(target)
        exchange.target = target
        cors, origin = self._settings.cors, request.headers.get("Origin")
        if cors.origins and is_preflight(
            request.method, origin, asked := request.headers.get("Access-Control-Request-Method")
        ):
            wanted = request.headers.get("Access-Control-Request-Headers")
            return Reply(204, b"", preflight_headers(cors, origin, asked, wanted))
        exchange.headers += answer_headers(cors, origin)
        if target.asks_for_the_server:
            return Reply(204, b"", (("Allow", ", ".join(CARRIED)),))
        endpoint = self._endpoints.get(target.path)
        if endpoint is not None:
            return await self._local(exchange, endpoint)
        for endpoint in self._prefixes:
            if target.path.startswith(endpoint.path):
                return await self._local(exchange, endpoint)
        match self._routes.resolve(request.method, target.path):
            case NoRoute():
                return gateway_error(Reason.NO_ROUTE)
            case MethodNotAllowed(allow):
                return gateway_error(Reason.METHOD_NOT_ALLOWED, allow=allow)
            case Match() as found:
                exchange.route = found.route.path
                refused = await self._admit(exchange, found.route.access, found.route, limited=True)
                return refused or await self._forwarder.forward(exchange, found)

    async def _local(self, exchange: Exchange, endpoint: Endpoint) -> Reply | GatewayError | None:
        exchange.route, exchange.quiet = endpoint.path, endpoint.quiet
        if exchange.request.method not in endpoint.allowed:
            return gateway_error(Reason.METHOD_NOT_ALLOWED, allow=endpoint.allowed)
        refused = await self._admit(exchange, endpoint.access, None, limited=endpoint.limited)
        return refused or await endpoint.answer(exchange)

    async def _admit(
        self, exchange: Exchange, access: Access, route: RouteSettings | None, *, limited: bool
    ) -> GatewayError | None:
        """Whether the caller may, and not too often; who it is stands in the exchange afterwards."""
        refused: GatewayError | None = None
        if access == "internal":
            return None if self._is_internal(exchange) else gateway_error(Reason.FORBIDDEN)
        if access == "user":
            refused = self._identify(exchange)
        if limited:
            rules = rules_for(self._settings.limits, route, exchange.client, exchange.user)
            verdict = await self._limiter.hit(rules)
            if verdict is not None:
                exchange.headers += rate_headers(verdict)
                if not verdict.allowed:
                    return gateway_error(Reason.RATE_LIMITED)
        return refused

    def _identify(self, exchange: Exchange) -> GatewayError | None:
        headers = exchange.request.headers
        token = credentials(headers)
        if token is None:
            return gateway_error(Reason.MISSING_TOKEN)
        if isinstance(token, Rejected):
            return token.error()
        if self._verifier is None:
            raise RuntimeError("a route needs users and no verifier was built")
        user = self._verifier.verify(token, self._unix_clock())
        if isinstance(user, Rejected):
            return user.error()
        if (mismatch := uid_problem(user, headers, exchange.target.query)) is not None:
            return mismatch.error()
        exchange.user = user
        return None

    def _is_internal(self, exchange: Exchange) -> bool:
        if internal_key_matches(exchange.header("X-Internal-Key"), self._internal_key):
            return True
        host, origin, site = (
            exchange.target.host,
            exchange.header("Origin"),
            exchange.header("Sec-Fetch-Site"),
        )
        if may_speak_for_a_page(exchange.client, host, origin, site):
            return False
        return is_internal(exchange.client, self._settings.internal.networks)

    def refuse(self, reason: str) -> bytes:
        """The answer to bytes that are no request, and to a connection too many; `HttpServer` sends it."""
        error = gateway_error(Reason(reason))
        self._metrics.refused(error.reason)
        request_id = uuid.uuid4().hex
        reply = error_reply(error, request_id)
        own = (*reply.headers, ("X-Request-Id", request_id))
        now, length = int(self._unix_clock()), len(reply.body)
        head = answer_head("GET", HTTP_1_1, reply.status, own, keep_alive=False, second=now, whole=length)
        return head.data + reply.body
