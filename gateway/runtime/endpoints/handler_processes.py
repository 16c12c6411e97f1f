"""What handler processes tell the gateway, and where a user sits (ALLOCATION 2.10)."""

from dataclasses import dataclass, field, replace

import structlog

from gateway.errors import GatewayError, Reason, from_report_refused, gateway_error
from gateway.handler_messages import AdmitMessage, HelloMessage, ReportMessage
from gateway.openapi_answers import Admitted, HelloTold, ReportTold
from gateway.openapi_answers import Located as LocatedTold
from gateway.openapi_operations import Operation, Parameter, Told
from gateway.runtime.endpoints.endpoint import Endpoint, query_value, read_message
from gateway.runtime.endpoints.handler_tunnel import tunnel_url
from gateway.runtime.endpoints.pools import Pool, Pools
from gateway.runtime.exchange import Exchange
from gateway.runtime.reply import Reply, json_reply
from handlers.address import BadAddress, websocket_url
from handlers.answers import Migration, ReportAnswer
from handlers.model import HandlerId, Jti, Located, Report, ReportRefused
from handlers.stores.base import StoreUnreachable
from registry.runtime.clock import unix_now

log = structlog.get_logger()

BAD_ADDRESS = "url or path: give a url like https://host:8001, without query, and a path like /ws."
MAX_WARNED = 1024
"""Handlers whose mistakes are logged, each once."""

STORE_AWAY = (Reason.MISSING_PARAMETER, Reason.UNKNOWN_POOL, Reason.ALLOCATION_UNAVAILABLE)
OF_A_HANDLER = (*STORE_AWAY, Reason.UNKNOWN_HANDLER, Reason.STALE_EPOCH)
HELLO = Operation(
    "A handler process introduces itself",
    {200: Told("Its ticket keys, and the pool's times.", HelloTold)},
    "POST",
    takes=HelloMessage,
    errors=OF_A_HANDLER,
    tag="handlers",
)
REPORT = Operation(
    "Confirmations, releases and heartbeat of a handler process",
    {200: Told("What is wanted of it.", ReportTold)},
    "POST",
    takes=ReportMessage,
    errors=OF_A_HANDLER,
    tag="handlers",
)
ADMIT = Operation(
    "Whether a client that comes after its guarantee still finds room",
    {200: Told("Whether it does.", Admitted)},
    "POST",
    takes=AdmitMessage,
    errors=STORE_AWAY,
    tag="handlers",
)
LOCATE = Operation(
    "Where a user sits",
    {200: Told("Where the user is connected, or will be.", LocatedTold)},
    parameters=(Parameter("uid", "Who.", required=True), Parameter("pool", "Only there.")),
    errors=(*STORE_AWAY, Reason.UNKNOWN_USER),
    tag="handlers",
)


@dataclass(slots=True)
class HandlerProcessEndpoints:
    pools: Pools
    _warned: set[str] = field(default_factory=set)

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("/handlers/register", ("POST",), "internal", self.register, operations=(HELLO,)),
            Endpoint(
                "/handlers/report", ("POST",), "internal", self.report, quiet=True, operations=(REPORT,)
            ),
            Endpoint("/handlers/admit", ("POST",), "internal", self.admit, operations=(ADMIT,)),
            Endpoint("/handlers/locate", ("GET",), "internal", self.locate, operations=(LOCATE,)),
        ]

    async def register(self, exchange: Exchange) -> Reply | GatewayError:
        """A handler process introduces itself and gets its ticket key."""
        message = await read_message(exchange, HelloMessage)
        if isinstance(message, GatewayError):
            return message
        pool = self.pools.named(message.pool)
        if isinstance(pool, GatewayError):
            return pool
        try:
            told = await pool.allocator.hello(message.hello())
        except BadAddress as bad:
            # Its text quotes what was said, which an answer must not do.
            log.warning("hello_refused", handler=message.handler_id, detail=str(bad))
            return gateway_error(Reason.BAD_PARAMETER, message=BAD_ADDRESS)
        except StoreUnreachable:
            return gateway_error(Reason.ALLOCATION_UNAVAILABLE)
        return (
            from_report_refused(told)
            if isinstance(told, ReportRefused)
            else json_reply(told.body(unix_now()))
        )

    async def report(self, exchange: Exchange) -> Reply | GatewayError:
        """Confirmations, releases and heartbeat of a handler process, and what is wanted of it."""
        message = await read_message(exchange, ReportMessage)
        if isinstance(message, GatewayError):
            return message
        pool = self.pools.named(message.pool)
        if isinstance(pool, GatewayError):
            return pool
        if message.unread_moves:
            self._warn(message)
        try:
            told = await pool.allocator.report(_feasible(pool, message.report()))
        except StoreUnreachable:
            return gateway_error(Reason.ALLOCATION_UNAVAILABLE)
        if isinstance(told, ReportRefused):
            return from_report_refused(told)
        return json_reply(_reachable(pool, told).body(unix_now()))

    def _warn(self, message: ReportMessage) -> None:
        if message.handler_id not in self._warned and len(self._warned) < MAX_WARNED:
            self._warned.add(message.handler_id)
            log.warning("moves_unread", handler=message.handler_id, count=message.unread_moves)

    async def admit(self, exchange: Exchange) -> Reply | GatewayError:
        """Whether a client that comes after its guarantee still finds room."""
        message = await read_message(exchange, AdmitMessage)
        if isinstance(message, GatewayError):
            return message
        pool = self.pools.named(message.pool)
        if isinstance(pool, GatewayError):
            return pool
        try:
            room = await pool.allocator.admit_late(
                HandlerId(message.handler_id), message.epoch, Jti(message.jti)
            )
        except StoreUnreachable:
            return gateway_error(Reason.ALLOCATION_UNAVAILABLE)
        return json_reply({"admit": room})

    async def locate(self, exchange: Exchange) -> Reply | GatewayError:
        """Where a user sits: in the pool of `?pool=`, else wherever they are connected, or will be."""
        uid = query_value(exchange, "uid")
        if not uid:
            return gateway_error(Reason.MISSING_PARAMETER, message="uid is missing: ask ?uid=USER.")
        pools = self.pools.all_asked_for(exchange)
        if isinstance(pools, GatewayError):
            return pools
        try:
            places = [(pool.name, place) for pool in pools if (place := await pool.allocator.locate(uid))]
        except StoreUnreachable:
            return gateway_error(Reason.ALLOCATION_UNAVAILABLE)
        if not places:
            return gateway_error(Reason.UNKNOWN_USER)
        bodies = [_place_body(pool, place) for pool, place in places]
        best = next((body for body in bodies if body["connected"]), bodies[0])
        return json_reply({"uid": uid, **best, "seats": bodies})


def _feasible(pool: Pool, report: Report) -> Report:
    """Without moves that could not be told where to go: a handler does not know by which name its clients
    reach the gateways, and to believe what a client called them could send others astray."""
    return replace(report, move=()) if report.move and pool.tunnel and not pool.public_url else report


def _reachable(pool: Pool, told: ReportAnswer) -> ReportAnswer:
    """With the tunnels' addresses for clients that move, where handlers are reached by tunnels."""
    if not told.migrate or pool.tunnel is None or pool.public_url is None:
        return told
    base, prefix = pool.public_url, pool.tunnel

    def through_here(move: Migration) -> Migration:
        return move._replace(url=websocket_url(tunnel_url(base, move.handler_id, prefix), ""))

    return replace(told, migrate=tuple(map(through_here, told.migrate)))


def _place_body(pool: str, place: Located) -> dict[str, object]:
    return {
        "pool": pool,
        "handler_id": place.handler,
        "url": place.url,
        "connected": place.connected,
    }
