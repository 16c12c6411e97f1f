"""One request through the gateway: is it one, where does it go, may it, is there room, carry it out.

The checks stand in the order in which they cost least and tell least: a malformed request is refused
before it is routed, a caller who may not is refused before anything is counted or asked upstream.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import structlog

from gateway.answer_head import HTTP_1_1, answer_head
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
from gateway.request_head import read_head
from gateway.request_ids import RequestIds
from gateway.routes import Match, MethodNotAllowed, NoRoute, RouteTable
from gateway.runtime.access_log import AccessLog
from gateway.runtime.client_request import ClientRequest
from gateway.runtime.endpoints.endpoint import Endpoint
from gateway.runtime.exchange import NO_ROUTE, Exchange
from gateway.runtime.forward import Forwarder, Prepared, prepare
from gateway.runtime.metrics import Metrics
from gateway.runtime.reply import Reply, error_reply, send
from gateway.settings import RouteSettings, Settings
from gateway.target import CARRIED, BadTarget, Target, read_target
from registry.runtime.clock import unix_now

log = structlog.get_logger()

REMEMBERED_TARGETS = 2048
REMEMBERED_TARGET = 512
"""Characters, with `Host`. Longer ones are looked up every time: 1 MiB of them is kept at most."""

CLIENT_CLOSED = 499
"""What nginx logs for a client that went away before its answer; never sent to anybody."""

Access = Literal["public", "user", "internal"]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a request line leads: to an answer that is known already, an endpoint, or a route."""

    target: Target
    name: str = NO_ROUTE
    """The path of the route or endpoint, as in the settings."""
    end: Reply | GatewayError | None = None
    access: Access = "public"
    limited: bool = False
    endpoint: Endpoint | None = None
    route: RouteSettings | None = None
    prepared: Prepared | None = None
    upstream_target: str = ""


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
        self._ids = RequestIds(secrets.token_hex(8))
        self._prepared: dict[tuple[str, str], Prepared] = {}
        self._find = lru_cache(REMEMBERED_TARGETS)(self._look_up)

    async def __call__(self, request: ClientRequest) -> None:
        """Answers one request. Only cancellation and a lost connection leave it as exceptions."""
        exchange = self._open(request)
        status, delivered = CLIENT_CLOSED, False
        try:
            try:
                end = await self._decide(exchange)
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

    def _open(self, request: ClientRequest) -> Exchange:
        head = request.remembered
        if head is None or head.raw != request.raw_headers:
            trusted = self._settings.listen.trusted_proxies
            head = read_head(request.headers, request.raw_headers, request.peer, trusted)
            request.remembered = head
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

    async def _decide(self, exchange: Exchange) -> Reply | GatewayError | None:
        """What to answer; `None` when an instance's answer has gone out already."""
        request, head = exchange.request, exchange.head
        hosts = head.hosts
        short = len(hosts) == 1 and len(request.target) + len(hosts[0]) <= REMEMBERED_TARGET
        find = self._find if short else self._look_up
        place = find(request.method, request.target, request.version, *hosts)
        if isinstance(place, BadTarget):
            request.keep_alive = False
            return from_bad_target(place)
        exchange.target = place.target
        cors = self._settings.cors
        if cors.origins:
            if is_preflight(
                request.method, head.origin, asked := exchange.header("Access-Control-Request-Method")
            ):
                wanted = exchange.header("Access-Control-Request-Headers")
                return Reply(204, b"", preflight_headers(cors, head.origin, asked, wanted))
            exchange.headers = answer_headers(cors, head.origin)
        exchange.route = place.name
        if place.end is not None:
            return place.end
        refused = await self._admit(exchange, place)
        if refused is not None:
            return refused
        if place.prepared is not None:
            return await self._forwarder.carry(exchange, place.prepared, place.upstream_target)
        assert place.endpoint is not None
        return await place.endpoint.answer(exchange)

    def _look_up(self, method: str, raw: str, version: tuple[int, int], *hosts: str) -> "_Place | BadTarget":
        """Where a request with that request line and these `Host` headers goes."""
        target = read_target(method, raw, version, hosts)
        if isinstance(target, BadTarget):
            return target
        if target.asks_for_the_server:
            return _Place(target, end=Reply(204, b"", (("Allow", ", ".join(CARRIED)),)))
        endpoint = self._endpoints.get(target.path) or next(
            (endpoint for endpoint in self._prefixes if target.path.startswith(endpoint.path)), None
        )
        if endpoint is not None:
            end = None
            if method not in endpoint.allowed:
                end = gateway_error(Reason.METHOD_NOT_ALLOWED, allow=endpoint.allowed)
            return _Place(target, endpoint.path, end, endpoint.access, endpoint.limited, endpoint=endpoint)
        match self._routes.resolve(method, target.path):
            case NoRoute():
                return _Place(target, end=gateway_error(Reason.NO_ROUTE))
            case MethodNotAllowed(allow):
                return _Place(target, end=gateway_error(Reason.METHOD_NOT_ALLOWED, allow=allow))
            case Match() as found:
                route = found.route
                return _Place(
                    target,
                    route.path,
                    access=route.access,
                    limited=True,
                    route=route,
                    prepared=self._prepare(route, method),
                    upstream_target=found.upstream_target(target.query),
                )

    def _prepare(self, route: RouteSettings, method: str) -> Prepared:
        # Methods are the route's own, so this is bounded by the settings.
        key = (route.path, method)
        if key not in self._prepared:
            self._prepared[key] = prepare(self._settings, route, method)
        return self._prepared[key]

    async def _admit(self, exchange: Exchange, place: "_Place") -> GatewayError | None:
        """Whether the caller may, and not too often; who it is stands in the exchange afterwards."""
        refused: GatewayError | None = None
        if place.endpoint is not None:
            exchange.quiet = place.endpoint.quiet
        if place.access == "internal":
            return None if self._is_internal(exchange) else gateway_error(Reason.FORBIDDEN)
        if place.access == "user":
            refused = self._identify(exchange)
        if place.limited:
            rules = rules_for(self._settings.limits, place.route, exchange.client, exchange.user)
            verdict = await self._limiter.hit(rules) if rules else None
            if verdict is not None:
                exchange.headers += rate_headers(verdict)
                if not verdict.allowed:
                    return gateway_error(Reason.RATE_LIMITED)
        return refused

    def _identify(self, exchange: Exchange) -> GatewayError | None:
        head = exchange.head
        token = head.token
        if token is None:
            return gateway_error(Reason.MISSING_TOKEN)
        if isinstance(token, Rejected):
            return token.error()
        if self._verifier is None:
            raise RuntimeError("a route needs users and no verifier was built")
        user = self._verifier.verify(token, self._unix_clock())
        if isinstance(user, Rejected):
            return user.error()
        if (mismatch := uid_problem(user, head.uids, exchange.target.query)) is not None:
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
        request_id = self._ids.next()
        reply = error_reply(error, request_id)
        own = (*reply.headers, ("X-Request-Id", request_id))
        now, length = int(self._unix_clock()), len(reply.body)
        head = answer_head("GET", HTTP_1_1, reply.status, own, keep_alive=False, second=now, whole=length)
        return head.data + reply.body
