"""`/get_websocket_handler` for chat clients, and the calls of the handler processes themselves."""

from dataclasses import dataclass

import structlog
from multidict import istr

from gateway.errors import (
    GatewayError,
    Reason,
    from_report_refused,
    from_seat_refused,
    gateway_error,
)
from gateway.handler_messages import AdmitMessage, HelloMessage, ReportMessage, client_id_problem
from gateway.runtime.endpoints.endpoint import Endpoint, query_value, read_message
from gateway.runtime.endpoints.handler_tunnel import tunnel_url
from gateway.runtime.exchange import Exchange
from gateway.runtime.metrics import Metrics
from gateway.runtime.reply import Reply, json_reply
from handlers.address import BadAddress, websocket_url
from handlers.model import HandlerId, Jti, ReportRefused, SeatRefused
from handlers.runtime.allocator import Allocator
from handlers.stores.base import StoreUnreachable

log = structlog.get_logger()

MAX_HEADER_IDS = 16
_CLIENT_ID, _LAST, _EXCLUDE = istr("X-Client-Id"), istr("X-Last-Handler"), istr("X-Exclude-Handler")
BAD_ADDRESS = "url or path: give a url like https://host:8001, without query, and a path like /ws."


@dataclass(slots=True)
class SeatEndpoints:
    allocator: Allocator
    metrics: Metrics
    tunnelled: bool = False
    """Clients reach the handlers through this gateway."""
    public_url: str | None = None
    """Where clients reach the gateways; `None`: by the name they asked for it."""

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("/get_websocket_handler", ("GET",), "user", self.allocate, limited=True, head=False),
            Endpoint("/handlers/register", ("POST",), "internal", self.register),
            Endpoint("/handlers/report", ("POST",), "internal", self.report, quiet=True),
            Endpoint("/handlers/admit", ("POST",), "internal", self.admit),
            Endpoint("/handlers/locate", ("GET",), "internal", self.locate),
        ]

    async def allocate(self, exchange: Exchange) -> Reply | GatewayError:
        """A seat for the verified user. It is given back when the client hangs up before its answer."""
        assert exchange.user is not None
        headers = exchange.request.headers
        client_id = headers.get(_CLIENT_ID)
        if client_id is not None and (problem := client_id_problem(client_id)) is not None:
            return gateway_error(Reason.BAD_PARAMETER, message=problem)
        if self.tunnelled and not (self.public_url or exchange.target.host):
            return gateway_error(Reason.BAD_HOST)
        excluded = headers.get(_EXCLUDE, "").split(",", MAX_HEADER_IDS)
        try:
            grant = await self.allocator.allocate(
                exchange.user.id,
                client_id=client_id,
                last=headers.get(_LAST),
                exclude=[name.strip() for name in excluded if name.strip()],
            )
        except StoreUnreachable:
            self.metrics.seat("store_unreachable")
            return gateway_error(Reason.ALLOCATION_UNAVAILABLE)
        if isinstance(grant, SeatRefused):
            self.metrics.seat(grant.reason.value)
            return from_seat_refused(grant)
        exchange.instance = grant.handler_id
        exchange.on_undelivered = lambda: self._give_back(grant.jti)
        self.metrics.seat("reserved")
        body = grant.body()
        if self.tunnelled:
            base = self.public_url or f"{exchange.client.scheme}://{exchange.target.host}"
            url = tunnel_url(base, grant.handler_id)
            body |= {"websocket_handler_url": url, "websocket_url": websocket_url(url, "")}
        return json_reply(body)

    async def _give_back(self, jti: Jti) -> None:
        self.metrics.seat("cancelled")
        await self.allocator.cancel(jti)

    async def register(self, exchange: Exchange) -> Reply | GatewayError:
        """A handler process introduces itself and gets its ticket key."""
        message = await read_message(exchange, HelloMessage)
        if isinstance(message, GatewayError):
            return message
        try:
            told = await self.allocator.hello(message.hello())
        except BadAddress as bad:
            # Its text quotes what was said, which an answer must not do.
            log.warning("hello_refused", handler=message.handler_id, detail=str(bad))
            return gateway_error(Reason.BAD_PARAMETER, message=BAD_ADDRESS)
        except StoreUnreachable:
            return gateway_error(Reason.ALLOCATION_UNAVAILABLE)
        return from_report_refused(told) if isinstance(told, ReportRefused) else json_reply(told.body())

    async def report(self, exchange: Exchange) -> Reply | GatewayError:
        """Confirmations, releases and heartbeat of a handler process."""
        message = await read_message(exchange, ReportMessage)
        if isinstance(message, GatewayError):
            return message
        try:
            told = await self.allocator.report(message.report())
        except StoreUnreachable:
            return gateway_error(Reason.ALLOCATION_UNAVAILABLE)
        return from_report_refused(told) if isinstance(told, ReportRefused) else json_reply(told.body())

    async def admit(self, exchange: Exchange) -> Reply | GatewayError:
        """Whether a client that comes after its guarantee still finds room."""
        message = await read_message(exchange, AdmitMessage)
        if isinstance(message, GatewayError):
            return message
        try:
            room = await self.allocator.admit_late(
                HandlerId(message.handler_id), message.epoch, Jti(message.jti)
            )
        except StoreUnreachable:
            return gateway_error(Reason.ALLOCATION_UNAVAILABLE)
        return json_reply({"admit": room})

    async def locate(self, exchange: Exchange) -> Reply | GatewayError:
        """Where a user sits."""
        uid = query_value(exchange, "uid")
        if not uid:
            return gateway_error(Reason.MISSING_PARAMETER, message="uid is missing: ask ?uid=USER.")
        try:
            found = await self.allocator.locate(uid)
        except StoreUnreachable:
            return gateway_error(Reason.ALLOCATION_UNAVAILABLE)
        if found is None:
            return gateway_error(Reason.UNKNOWN_USER)
        return json_reply(
            {
                "uid": found.uid,
                "handler_id": found.handler,
                "url": found.url,
                "connected": found.connected,
            }
        )
