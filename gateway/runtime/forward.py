"""A routed request to an instance, and its answer back to the client.

The balancer chooses, sends and retries; here a request is made ready for it, and what comes back is
written as it arrives. An answer that is cut short upstream is cut short here too.
"""

import secrets
from dataclasses import dataclass, field

from balancer.headers import ForwardFacts, for_client, for_upstream
from balancer.model import CallPolicy, Failed, OutboundRequest, Refused, UpstreamBroke
from balancer.runtime.call import Answer, Balancer, Switched
from gateway.errors import GatewayError, Reason, from_failed, from_refused, gateway_error
from gateway.routes import Match
from gateway.runtime.client_body import ClientBody
from gateway.runtime.exchange import Exchange
from gateway.runtime.tunnelling import Tunnels, asking_upstream, asks_for_a_websocket
from gateway.settings import RouteSettings, Settings
from registry.model import Instance

MAX_POLICIES = 4096

HOP = "X-Quaymaster-Hop"
"""One per gateway a request has come through. Without it, an instance that is registered with the address
of a gateway would have one request go round until the sockets run out."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What does not depend on the request."""

    policy: CallPolicy
    set_headers: tuple[tuple[bytes, bytes], ...]
    kept_body: int
    """Bytes of a request body that are kept for another try."""


@dataclass(slots=True)
class Forwarder:
    settings: Settings
    balancer: Balancer
    tunnels: Tunnels = field(default_factory=Tunnels)
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    """Names this gateway in `HOP`."""
    _prepared: dict[tuple[str, str], Prepared] = field(default_factory=dict)

    async def forward(self, exchange: Exchange, match: Match) -> GatewayError | None:
        """Carries the request out. The answer has been written when this returns `None`."""
        prepared = self._prepare(match.route, exchange.request.method)
        return await self.carry(exchange, match.route, prepared, match.upstream_target(exchange.target.query))

    async def carry(
        self,
        exchange: Exchange,
        route: RouteSettings,
        prepared: Prepared,
        target: str,
        only: Instance | None = None,
    ) -> GatewayError | None:
        """The same for a route that was prepared, to `only` that instance if one is given."""
        request = exchange.request
        exchange.service = prepared.policy.service
        body = ClientBody(request, self.settings.body_limit(route))
        if (refused := body.refusal()) is not None:
            return refused
        if self.mark in request.headers.getall(HOP, ()):
            return gateway_error(Reason.LOOP_DETECTED)
        body.begin()
        content: bytes | ClientBody | GatewayError = body
        if body.is_within(prepared.kept_body):
            content = await body.whole()
        if isinstance(content, GatewayError):
            return content
        headers = for_upstream(request.raw_headers, self._facts(exchange, route, prepared))
        headers.append((HOP.encode(), self.mark.encode()))
        switch = asks_for_a_websocket(request)
        outbound = OutboundRequest(
            method=request.method,
            target=target,
            headers=asking_upstream(headers) if switch else headers,
            body=content,
            idempotency_key="Idempotency-Key" in request.headers,
            switch=switch,
        )
        async with self.balancer.call(prepared.policy, outbound, only) as end:
            match end:
                case Answer():
                    exchange.instance, exchange.attempts = end.instance.id, end.attempts
                    await _pass_on(exchange, end)
                    return None
                case Switched():
                    exchange.instance, exchange.attempts = end.instance.id, end.attempts
                    await self.tunnels.carry(exchange, end, prepared.policy.timeouts.tunnel_idle_s)
                    return None
                case Refused():
                    return from_refused(end)
                case Failed():
                    exchange.attempts = end.attempts
                    return body.error() or from_failed(end)

    def _prepare(self, route: RouteSettings, method: str) -> Prepared:
        key = (route.path, method)
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = Prepared(
                self.settings.policy(route, method),
                tuple(route.header_pairs()),
                self.settings.services[route.service].retry_buffer_bytes,
            )
            if len(self._prepared) < MAX_POLICIES:
                self._prepared[key] = prepared
        return prepared

    def _facts(self, exchange: Exchange, route: RouteSettings, prepared: Prepared) -> ForwardFacts:
        return ForwardFacts(
            peer=exchange.request.peer,
            scheme="http",
            request_id=exchange.request_id,
            peer_trusted=exchange.client.peer_trusted,
            user_id=exchange.user.id if exchange.user else None,
            set_headers=prepared.set_headers,
            pass_host=route.pass_host,
        )


async def _pass_on(exchange: Exchange, answer: Answer) -> None:
    request, own = exchange.request, exchange.answer_headers()
    headers = for_client(answer.headers)
    whole = answer.body.whole()
    if whole is not None:
        request.send(answer.status, own, whole, reason=answer.reason, theirs=headers)
        return
    request.begin(answer.status, own, reason=answer.reason, theirs=headers)
    try:
        async for piece in answer.body:
            await request.write(piece)
        request.end()
    except UpstreamBroke as broke:
        exchange.reason = broke.outcome.label
        request.cut_off()
    except TimeoutError:
        exchange.reason = "client_stalled"
        request.cut_off()
