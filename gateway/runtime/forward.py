"""A routed request to an instance, and its answer back to the client.

The balancer chooses, sends and retries; here a request is made ready for it, and what comes back is
written as it arrives. An answer that is cut short upstream is cut short here too.
"""

import asyncio
import secrets
from dataclasses import dataclass, field

from aiohttp import web
from multidict import CIMultiDict

from balancer.headers import ForwardFacts, for_client, for_upstream
from balancer.model import Answer, CallPolicy, Failed, OutboundRequest, Refused, UpstreamBroke
from balancer.runtime.call import Balancer
from gateway.errors import GatewayError, Reason, from_failed, from_refused, gateway_error
from gateway.routes import Match
from gateway.runtime.client_body import ClientBody
from gateway.runtime.exchange import Exchange
from gateway.runtime.http_server import PlainResponse, cut_off
from gateway.settings import RouteSettings, Settings

MAX_POLICIES = 4096

HOP = "X-Quaymaster-Hop"
"""One per gateway a request has come through. Without it, an instance that is registered with the address
of a gateway would have one request go round until the sockets run out."""

CLIENT_STALLED_S = 60.0
"""A client that takes nothing of its answer for so long loses it: it keeps an instance busy."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What does not depend on the request."""

    policy: CallPolicy
    set_headers: tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True)
class Forwarder:
    settings: Settings
    balancer: Balancer
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    """Names this gateway in `HOP`."""
    _prepared: dict[tuple[str, str], _Prepared] = field(default_factory=dict)

    async def forward(self, exchange: Exchange, match: Match) -> web.StreamResponse | GatewayError:
        """Carries the request out. The answer has been written when this returns."""
        route, request = match.route, exchange.request
        prepared = self._prepare(route, request.method)
        exchange.service = prepared.policy.service
        body = ClientBody(request, self.settings.body_limit(route))
        if (refused := body.refusal()) is not None:
            return refused
        if self.mark in request.headers.getall(HOP, ()):
            return gateway_error(Reason.LOOP_DETECTED)
        await body.begin()
        content: bytes | ClientBody | GatewayError = await body.whole() if body.is_small else body
        if isinstance(content, GatewayError):
            return content
        outbound = OutboundRequest(
            method=request.method,
            target=match.upstream_target(exchange.target.query),
            headers=[
                *for_upstream(list(request.raw_headers), self._facts(exchange, route, prepared)),
                (HOP.encode(), self.mark.encode()),
            ],
            body=content,
            idempotency_key="Idempotency-Key" in request.headers,
        )
        async with self.balancer.call(prepared.policy, outbound) as end:
            match end:
                case Answer():
                    exchange.instance, exchange.attempts = end.instance.id, end.attempts
                    return await _pass_on(exchange, end)
                case Refused():
                    return from_refused(end)
                case Failed():
                    exchange.attempts = end.attempts
                    return body.error() or from_failed(end)

    def _prepare(self, route: RouteSettings, method: str) -> _Prepared:
        key = (route.path, method)
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = _Prepared(self.settings.policy(route, method), tuple(route.header_pairs()))
            if len(self._prepared) < MAX_POLICIES:
                self._prepared[key] = prepared
        return prepared

    def _facts(self, exchange: Exchange, route: RouteSettings, prepared: _Prepared) -> ForwardFacts:
        return ForwardFacts(
            peer=exchange.peer,
            scheme="http",
            request_id=exchange.request_id,
            peer_trusted=exchange.client.peer_trusted,
            user_id=exchange.user.id if exchange.user else None,
            set_headers=prepared.set_headers,
            pass_host=route.pass_host,
        )


async def _pass_on(exchange: Exchange, answer: Answer) -> web.StreamResponse:
    response = PlainResponse(
        status=answer.status, reason=_text(answer.reason) or None, headers=_head(exchange, answer)
    )
    await response.prepare(exchange.request)
    try:
        async for chunk in answer.body:
            async with asyncio.timeout(CLIENT_STALLED_S):
                await response.write(chunk)
        async with asyncio.timeout(CLIENT_STALLED_S):
            await response.write_eof()
    except UpstreamBroke as broke:
        exchange.reason = broke.outcome.label
        cut_off(exchange.request)
    except TimeoutError:
        exchange.reason = "client_stalled"
        cut_off(exchange.request)
    return response


def _head(exchange: Exchange, answer: Answer) -> CIMultiDict[str]:
    """The instance's headers and ours. What both set is true of this answer as the gateway says it."""
    ours = exchange.answer_headers()
    replaced = {name.lower() for name in ours} - {"vary"}
    theirs = [(_text(name), _text(value)) for name, value in for_client(answer.headers)]
    return CIMultiDict([*(pair for pair in theirs if pair[0].lower() not in replaced), *ours.items()])


def _text(raw: bytes) -> str:
    """aiohttp writes headers as UTF-8: what is UTF-8 passes unchanged, other bytes as Latin-1 characters."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
