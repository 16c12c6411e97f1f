"""A routed request to an instance, and its answer back to the client.

The balancer chooses, sends and retries; here a request is made ready for it, and what comes back is
written as it arrives. An answer that is cut short upstream is cut short here too.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from balancer.field_lines import FieldLines
from balancer.headers import ForwardFacts, for_client, for_upstream
from balancer.model import Failed, Headers, OutboundRequest, Refused, UpstreamBroke
from balancer.policy import HashPolicy
from balancer.runtime.call import Answer, Balancer, Switched
from gateway.answer_head import Pairs
from gateway.deadlines import MALFORMED, Malformed
from gateway.errors import GatewayError, Reason, from_failed, from_refused, gateway_error
from gateway.hash_keys import hash_key
from gateway.request_head import HOP, Forwarded
from gateway.runtime.client_body import ClientBody
from gateway.runtime.client_request import ClientRequest
from gateway.runtime.exchange import Exchange
from gateway.runtime.prepared import Prepared
from gateway.runtime.tunnelling import Tunnels, asking_upstream, asks_for_a_websocket
from gateway.shaping import LOCATING, with_public_location
from gateway.trace_context import BOTH
from registry.model import Instance


@dataclass(slots=True)
class Forwarder:
    balancer: Balancer
    tunnels: Tunnels = field(default_factory=Tunnels)
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    """Names this gateway in `HOP`."""

    async def carry(
        self,
        exchange: Exchange,
        prepared: Prepared,
        target: str,
        only: Instance | None = None,
        before: Callable[[int], Awaitable[None]] | None = None,
    ) -> GatewayError | None:
        """Carries the request out, to `only` that instance if one is given.

        The answer has been written when this returns `None`; `before` that its status is told.
        """
        outbound = self.outbound(exchange, prepared, target)
        if isinstance(outbound, GatewayError):
            return outbound
        if exchange.request.body_exists or exchange.head.expects:
            content = await _content(exchange.request, prepared)
            if isinstance(content, GatewayError):
                return content
            outbound.body, outbound.deadline_s = content, self.left_s(exchange)
        async with self.balancer.call(prepared.policy, outbound, only) as end:
            match end:
                case Answer():
                    reached(exchange, prepared, end)
                    own, theirs = exchange.answer_headers(), passed_on(end, prepared)
                    if prepared.answer_shaping is not None:
                        theirs = prepared.answer_shaping.of(theirs)
                    if before is not None:
                        await before(end.status)
                    whole = end.body.whole()
                    if whole is None:
                        await stream(exchange, end, own, theirs)
                    else:
                        exchange.request.send(end.status, own, whole, reason=end.reason, theirs=theirs)
                    return None
                case Switched():
                    reached(exchange, prepared, end)
                    theirs = for_client(end.headers)
                    if prepared.answer_shaping is not None:
                        theirs = prepared.answer_shaping.of(theirs)
                    await self.tunnels.carry(exchange, end, theirs, prepared.policy.timeouts.tunnel_idle_s)
                    return None
                case _:
                    return unanswered(exchange, outbound, end)

    def outbound(self, exchange: Exchange, prepared: Prepared, target: str) -> OutboundRequest | GatewayError:
        """The request as it goes to an instance, but for its body; or why it does not go anywhere."""
        request, head = exchange.request, exchange.head
        exchange.service = prepared.policy.service
        if self.mark in head.hops:
            return gateway_error(Reason.LOOP_DETECTED)
        left_s = None
        if head.deadline_s is not None:
            if isinstance(head.deadline_s, Malformed):
                return gateway_error(Reason.BAD_PARAMETER, message=MALFORMED)
            left_s = self.left_s(exchange)
        lines = self.lines(exchange, prepared).plus(b"X-Request-Id", exchange.request_id.encode())
        switch = head.upgrades and asks_for_a_websocket(request)
        if switch:
            lines = asking_upstream(lines)
        key = b"" if prepared.hashing is None else _key(exchange, prepared.hashing)
        return OutboundRequest(
            request.method, target, lines, b"", head.keyed, key, left_s, switch, exchange.span
        )

    def lines(self, exchange: Exchange, prepared: Prepared) -> FieldLines:
        """The request's header lines as an instance gets them, but for `X-Request-Id`."""
        head, user = exchange.head, exchange.user
        made = head.forwarded
        if made is None or made.prepared is not prepared or made.user is not user:
            facts = ForwardFacts(
                peer=exchange.request.peer,
                scheme=head.client.scheme,
                peer_trusted=head.client.peer_trusted,
                client=head.client.address,
                user_id=None if user is None else user.id,
                claims=() if user is None else user.headers,
                set_headers=prepared.set_headers,
                remove_headers=prepared.remove_headers,
                pass_host=prepared.pass_host,
            )
            headers = [*for_upstream(head.raw, facts), (HOP.encode(), self.mark.encode())]
            # With a span of our own, each try says where it stands in the trace.
            dropped = head.trace.refused if exchange.span is None else BOTH
            if dropped:
                headers = [pair for pair in headers if pair[0].lower() not in dropped]
            made = head.forwarded = Forwarded(prepared, user, FieldLines(headers))
        return made.lines

    def left_s(self, exchange: Exchange) -> float | None:
        """What the caller has left now, if it has said so."""
        deadline_s = exchange.head.deadline_s
        if deadline_s is None or isinstance(deadline_s, Malformed):
            return None
        return max(0.0, deadline_s - (self.balancer.clock() - exchange.started_at))


def reached(exchange: Exchange, prepared: Prepared, end: Answer | Switched) -> None:
    """Notes who has answered."""
    exchange.instance, exchange.attempts = end.instance.id, end.attempts
    subset = prepared.policy.subset
    if subset is not None and subset.or_others:
        exchange.version = subset.tag if subset.tag in end.instance.tags else None


def passed_on(answer: Answer, prepared: Prepared) -> Headers:
    """The headers of its answer as clients get them, but for the route's own changes to them."""
    headers = for_client(answer.headers)
    if answer.status in LOCATING:
        headers = with_public_location(headers, answer.instance, prepared.public_path)
    return headers


def unanswered(exchange: Exchange, outbound: OutboundRequest, end: Refused | Failed) -> GatewayError:
    """What the client is told when no instance has answered."""
    if isinstance(end, Refused):
        return from_refused(end)
    exchange.attempts = end.attempts
    body = outbound.body
    return (body.error() if isinstance(body, ClientBody) else None) or from_failed(end)


def _key(exchange: Exchange, hashing: HashPolicy) -> bytes:
    headers, user = exchange.request.headers, exchange.user
    return hash_key(
        hashing,
        headers,
        headers.getall("Cookie", ()),
        None if user is None else user.id,
        exchange.client.address,
    )


async def _content(request: ClientRequest, prepared: Prepared) -> bytes | ClientBody | GatewayError:
    """The request's body: all of it if it is short enough to be kept, else as it comes; or why not."""
    body = ClientBody(request, prepared.body_limit)
    if (refused := body.refusal()) is not None:
        return refused
    body.begin()
    return await body.whole() if body.is_within(prepared.kept_body) else body


async def stream(exchange: Exchange, answer: Answer, own: Pairs, theirs: Headers) -> None:
    """An answer that comes in pieces goes out in pieces."""
    request = exchange.request
    request.begin(answer.status, own, reason=answer.reason, theirs=theirs)
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
