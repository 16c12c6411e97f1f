"""`/admin/handlers`: which there are, taking one out of use and back, and why a client got its one."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from gateway.admin_paths import PREFIX, OneDecision, OneDrain, OneHandler, read_admin_path
from gateway.errors import GatewayError, Reason, gateway_error
from gateway.handler_messages import DrainMessage
from gateway.handler_states import DrainWatch, decision_body, drain_body, gone_body, handler_body
from gateway.openapi_answers import Decision, Drain, Handler, Handlers
from gateway.openapi_operations import Operation, Parameter, Told
from gateway.runtime.endpoints.endpoint import Endpoint, query_value, read_message
from gateway.runtime.endpoints.pools import Pool, Pools
from gateway.runtime.exchange import Exchange
from gateway.runtime.reply import Reply, json_reply
from gateway.runtime.waiting_room import WaitingRoom
from handlers.answers import report_s
from handlers.model import DrainOrder, HandlerId, HandlerState
from handlers.stores.base import StoreUnreachable

log = structlog.get_logger()

POLL_S = 0.25
LATE_S = 0.5
"""A report may be so late: it is under way, and then it is looked for every `POLL_S`."""
MAX_WAIT_S = 600
_SECONDS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3})?", re.ASCII)

POOL = Parameter("pool", "Of several kinds of handlers.")
ID = Parameter("handler_id", "As it has registered.", "path")
ERRORS = (Reason.MISSING_PARAMETER, Reason.UNKNOWN_POOL, Reason.ALLOCATION_UNAVAILABLE)
OF_ONE = (*ERRORS, Reason.UNKNOWN_HANDLER, Reason.NO_ROUTE)
LISTED = Operation(
    "Every handler", {200: Told("All of them.", Handlers)}, parameters=(POOL,), errors=ERRORS, tag="handlers"
)
ONE = f"{PREFIX}{{handler_id}}"
OPERATIONS = (
    Operation(
        "One handler",
        {200: Told("Its load, and what speaks against it.", Handler)},
        path=ONE,
        parameters=(ID, POOL),
        errors=OF_ONE,
        tag="handlers",
    ),
    Operation(
        "How far a drain has got",
        {200: Told("So far.", Drain)},
        path=f"{ONE}/drain",
        parameters=(
            ID,
            POOL,
            Parameter(
                "wait",
                "Answered once it is over, or after so many seconds.",
                schema={"type": "number", "minimum": 0, "maximum": MAX_WAIT_S},
            ),
        ),
        errors=(*OF_ONE, Reason.BAD_PARAMETER),
        tag="handlers",
    ),
    Operation(
        "No new clients, and the present ones elsewhere by then",
        {200: Told("It is ordered.", Drain)},
        "POST",
        f"{ONE}/drain",
        parameters=(ID, POOL),
        takes=DrainMessage,
        errors=OF_ONE,
        tag="handlers",
    ),
    Operation(
        "In use again",
        {200: Told("The drain is taken back.", Drain)},
        "DELETE",
        f"{ONE}/drain",
        parameters=(ID, POOL),
        errors=OF_ONE,
        tag="handlers",
    ),
    Operation(
        "Why a client got its handler",
        {200: Told("What stood in the order then.", Decision)},
        path=f"{PREFIX}decisions/{{sequence}}",
        parameters=(
            Parameter("sequence", "`decision` in the access log.", "path", schema={"type": "integer"}),
            POOL,
        ),
        errors=(*OF_ONE, Reason.UNKNOWN_DECISION),
        tag="handlers",
    ),
)


@dataclass(slots=True)
class HandlersAdminEndpoints:
    pools: Pools
    room: WaitingRoom
    """For those that wait until a drain is over. While it is full they are told how far it has got."""
    clock: Callable[[], float] = time.monotonic

    def endpoints(self) -> list[Endpoint]:
        methods = ("GET", "POST", "DELETE")
        return [
            Endpoint(PREFIX.rstrip("/"), ("GET",), "internal", self.list_all, operations=(LISTED,)),
            Endpoint(PREFIX, methods, "internal", self.answer, prefix=True, operations=OPERATIONS),
        ]

    async def list_all(self, exchange: Exchange) -> Reply | GatewayError:
        """Every handler, or those of `?pool=`."""
        pools = self.pools.all_asked_for(exchange)
        if isinstance(pools, GatewayError):
            return pools
        try:
            states = [(pool.name, state) for pool in pools for state in await pool.allocator.states()]
        except StoreUnreachable:
            return _unavailable()
        return json_reply({"handlers": [handler_body(pool, state) for pool, state in states]})

    async def answer(self, exchange: Exchange) -> Reply | GatewayError:
        """One handler, its drain, or one decision, by the path."""
        if exchange.target.path == PREFIX and exchange.request.method in ("GET", "HEAD"):
            return await self.list_all(exchange)
        asked = read_admin_path(exchange.target.path)
        if asked is None:
            return gateway_error(Reason.NO_ROUTE)
        method = exchange.request.method
        if not isinstance(asked, OneDrain) and method not in ("GET", "HEAD"):
            return gateway_error(Reason.METHOD_NOT_ALLOWED, allow=("GET", "HEAD"))
        try:
            if isinstance(asked, OneDecision):
                return await self._decision(exchange, asked.sequence)
            found = await self._find(exchange, HandlerId(asked.id))
            if isinstance(found, GatewayError):
                return found
            pool, state = found
            if isinstance(asked, OneHandler):
                return json_reply(handler_body(pool.name, state))
            if method == "POST":
                return await self._drain(exchange, pool, state.id)
            if method == "DELETE":
                return await self._order(pool, state.id, None)
            return await self._drained(exchange, pool, state)
        except StoreUnreachable:
            return _unavailable()

    async def _find(self, exchange: Exchange, name: HandlerId) -> tuple[Pool, HandlerState] | GatewayError:
        pools = self.pools.all_asked_for(exchange)
        if isinstance(pools, GatewayError):
            return pools
        found = [(pool, state) for pool in pools if (state := await _state(pool, name)) is not None]
        if not found:
            return gateway_error(Reason.UNKNOWN_HANDLER, message="No such handler is known.")
        if len(found) > 1:
            names = ", ".join(pool.name for pool, _ in found)
            return gateway_error(
                Reason.MISSING_PARAMETER, message=f"pool is missing: several have such a handler, {names}."
            )
        return found[0]

    async def _decision(self, exchange: Exchange, sequence: int) -> Reply | GatewayError:
        pool = self.pools.asked_for(exchange)
        if isinstance(pool, GatewayError):
            return pool
        decision = await pool.allocator.decision(sequence)
        if decision is None:
            return gateway_error(Reason.UNKNOWN_DECISION)
        return json_reply(decision_body(pool.name, decision))

    async def _drain(self, exchange: Exchange, pool: Pool, name: HandlerId) -> Reply | GatewayError:
        message = await read_message(exchange, DrainMessage)
        if isinstance(message, GatewayError):
            return message
        return await self._order(pool, name, message.order())

    async def _order(self, pool: Pool, name: HandlerId, order: DrainOrder | None) -> Reply | GatewayError:
        known = await pool.allocator.drain(name, order)
        state = await _state(pool, name)
        if not known or state is None:
            return gateway_error(Reason.UNKNOWN_HANDLER, message="No such handler is known.")
        log.info("drain_ordered" if order else "drain_ended", pool=pool.name, handler=name)
        return json_reply(drain_body(state))

    async def _drained(self, exchange: Exchange, pool: Pool, state: HandlerState) -> Reply | GatewayError:
        """How far it has got; with `wait=` once it is over, or after so many seconds.

        A handler that goes while somebody waits has drained, and the same name in a new process is up.
        """
        asked = query_value(exchange, "wait") or "0"
        if not _SECONDS.fullmatch(asked) or float(asked) > MAX_WAIT_S:
            problem = f"wait must be seconds, from 0 to {MAX_WAIT_S}."
            return gateway_error(Reason.BAD_PARAMETER, message=problem)
        now = self.clock()
        until, watch = now + float(asked), DrainWatch(patience_s=report_s(pool.allocator.pool) + LATE_S)
        over = watch.saw(state, now)
        with self.room.place() as waits:
            while waits and not over and (left_s := until - self.clock()) > 0:
                if not await self.room.pause(min(POLL_S, left_s)):
                    break
                seen = await _state(pool, state.id)
                if seen is None:
                    return json_reply(gone_body(state.id))
                state, over = seen, watch.saw(seen, self.clock())
        return json_reply(drain_body(state))


def _unavailable() -> GatewayError:
    message = "The shared store is away: handlers can't be shown, and nothing can be ordered of them now."
    return gateway_error(Reason.ALLOCATION_UNAVAILABLE, message=message)


async def _state(pool: Pool, name: HandlerId) -> HandlerState | None:
    return next((state for state in await pool.allocator.states() if state.id == name), None)
