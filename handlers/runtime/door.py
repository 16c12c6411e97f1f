"""The door of a handler process: handshake, ticket, and a place for the client, in that order.

The handshake comes first because a browser can read a close code but not the status of a handshake
that failed. So who shows no ticket in the handshake gets a socket to show one on: for a few seconds, and
only so many at a time (`handlers/strangers.py`).
"""

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from aiohttp import WSMsgType, web
from aiohttp.typedefs import Handler

from handlers import presented
from handlers.admission import AdmissionLedger, Entry
from handlers.closing import Refusal, TurnedAway
from handlers.runtime.client_socket import CLOSE_WAIT_S, ClientSocket
from handlers.runtime.gateway_link import GatewayLink
from handlers.strangers import StrangerLedger
from handlers.ticket import TicketClaims, verify


class Admitted(NamedTuple):
    """A client whose place is taken. `seq` is how far it has read, if it says."""

    claims: TicketClaims
    seq: int | None


class Door:
    """`origins` `None` lets any page open sockets; `clock` tells unix seconds."""

    def __init__(
        self,
        gate: AdmissionLedger,
        link: GatewayLink,
        *,
        origins: Collection[str] | None,
        heartbeat_s: float,
        max_msg_size: int,
        ticket_within_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._gate = gate
        self._link = link
        self._origins = None if origins is None else frozenset(origins)
        self._heartbeat_s, self._max_msg_size = heartbeat_s, max_msg_size
        self._ticket_within_s = ticket_within_s
        self._clock = clock
        self._strangers = StrangerLedger()

    async def open(self, request: web.Request) -> tuple[ClientSocket, Admitted | TurnedAway]:
        """A socket, and who has taken a place, or why nobody has.

        Raises aiohttp's 400, 403 or 503 for what is refused before the handshake.
        """
        self._check(request)
        socket = ClientSocket(
            protocols=(presented.PROTOCOL,),
            heartbeat=self._heartbeat_s,
            max_msg_size=self._max_msg_size,
            timeout=CLOSE_WAIT_S,
        )
        offer = request.headers.get("Sec-WebSocket-Protocol", "")
        ticket = presented.in_handshake(offer, request.query.get("ticket"))
        seq: Any = presented.in_query(request.query.getall("seq", ()))
        if ticket is not None:
            await socket.prepare(request)
            return socket, await self._judge(ticket, seq)
        with self._stranger(request.remote or ""):
            await socket.prepare(request)
            frame = await self._first_frame(socket)
        if frame is None:
            return socket, TurnedAway(Refusal.NO_TICKET)
        return socket, await self._judge(frame.ticket, seq if frame.seq is None else frame.seq)

    def _check(self, request: web.Request) -> None:
        if self._origins is not None and request.headers.get("Origin") not in self._origins:
            raise web.HTTPForbidden(text="this page may not open sockets here")
        offered = set(presented.split(request.headers.get("Sec-WebSocket-Protocol", "")))
        if presented.PROTOCOL not in offered and any(map(presented.holds_ticket, offered)):
            # aiohttp would log the offer, and the ticket with it, for want of a protocol in common.
            raise web.HTTPBadRequest(text=f"offer the subprotocol {presented.PROTOCOL} beside the ticket")

    @contextmanager
    def _stranger(self, address: str) -> Iterator[None]:
        """A place for a client without a ticket, until it has shown one. Raises 503 when there is none."""
        if not self._strangers.come(address):
            raise web.HTTPServiceUnavailable(text="too many clients wait", headers={"Retry-After": "1"})
        try:
            yield
        finally:
            self._strangers.gone(address)

    async def _judge(self, ticket: str, shown_seq: Any) -> Admitted | TurnedAway:
        seq = presented.sequence(shown_seq)
        if isinstance(seq, TurnedAway):
            return seq
        claims = await self._admit(ticket)
        return claims if isinstance(claims, TurnedAway) else Admitted(claims, seq)

    async def _admit(self, ticket: str) -> TicketClaims | TurnedAway:
        """Takes a place for a good ticket."""
        if self._link.gatekeeper is None:
            return TurnedAway(Refusal.NOT_READY)
        claims = verify(ticket, self._link.gatekeeper, self._clock())
        if isinstance(claims, TurnedAway):
            if claims.reason is Refusal.UNKNOWN_KEY:
                self._link.ask_for_keys()
            return claims
        entry = self._present(claims)
        if entry == TurnedAway(Refusal.DRAINING):
            if await self._link.wanted():
                entry = self._present(claims)
            elif self._gate.give_back(claims):
                self._link.left(claims.jti)
        if entry is Entry.ASK:
            return await self._ask(claims)
        return entry if isinstance(entry, TurnedAway) else claims

    def _present(self, claims: TicketClaims) -> Entry | TurnedAway:
        self._gate.draining, self._gate.shut = self._link.draining, self._link.shut
        return self._gate.present(claims, self._clock())

    async def _ask(self, claims: TicketClaims) -> TicketClaims | TurnedAway:
        """A late ticket: there must be room in the store too, when it can be asked."""
        try:
            room = await self._link.may_enter(claims.jti)
        except BaseException:
            self._gate.leave(claims.jti)
            raise
        return self._gate.answered(claims.jti, room=room) or claims

    async def _first_frame(self, socket: ClientSocket) -> presented.Shown | None:
        """The ticket in the first frame, `None` if something else comes, or nothing in time."""
        try:
            async with asyncio.timeout(self._ticket_within_s):
                message = await socket.receive()
        except TimeoutError:
            return None
        return presented.in_frame(message.data) if message.type is WSMsgType.TEXT else None


class Refused(Exception):
    """Ends an endpoint whose client was turned away. `HandlerNode.attach` installs what answers it."""

    def __init__(self, socket: ClientSocket, reason: Refusal) -> None:
        super().__init__(reason.value)
        self.socket = socket
        self.reason = reason


@web.middleware
async def answer_refused(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The socket of a refused client is closed already, so there is nothing left to answer."""
    try:
        return await handler(request)
    except Refused as refused:
        return refused.socket
