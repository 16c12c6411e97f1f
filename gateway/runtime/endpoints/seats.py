"""`/get_websocket_handler`: a seat for a chat client (ALLOCATION 2.2)."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from multidict import istr

from gateway.errors import GatewayError, Reason, from_come_back, from_seat_refused, gateway_error
from gateway.handler_messages import client_id_problem, handler_names, session_id_problem
from gateway.openapi_answers import Seat
from gateway.openapi_operations import Operation, Parameter, Told
from gateway.preferences import wait_s
from gateway.runtime.endpoints.endpoint import Endpoint
from gateway.runtime.endpoints.handler_tunnel import tunnel_url
from gateway.runtime.endpoints.pools import Pool, Pools
from gateway.runtime.exchange import Exchange, Pairs
from gateway.runtime.metrics import Metrics
from gateway.runtime.reply import JSON, Reply
from gateway.runtime.waiting_room import WaitingRoom
from gateway.seat_waiting import pause_before
from handlers.answers import ComeBack, Grant
from handlers.model import SeatRefusal, SeatRefused

_CLIENT_ID, _SESSION_ID = istr("X-Client-Id"), istr("X-Session-Id")
_LAST, _EXCLUDE = istr("X-Last-Handler"), istr("X-Exclude-Handler")
_QUEUE_TOKEN, _PREFER = istr("X-Queue-Token"), istr("Prefer")

ASKED = Operation(
    "A seat at a WebSocket handler",
    {
        200: Told(
            "Connect to `websocket_url` with the subprotocols `wst.v1, wst.<ticket>`.",
            Seat,
            headers={"Preference-Applied": "How long it would have been waited."},
        )
    },
    parameters=(
        Parameter("pool", "Of several kinds of handlers."),
        Parameter("X-Client-Id", "A repeat with the same one gets the same seat.", "header"),
        Parameter("X-Session-Id", "The `session_id` of an earlier answer, to go on with.", "header"),
        Parameter("X-Last-Handler", "Where the client was.", "header"),
        Parameter("X-Exclude-Handler", "Which could not be reached, separated by commas.", "header"),
        Parameter("X-Queue-Token", "The `queue_token` of a `come_back`.", "header"),
        Parameter("Prefer", "`wait=5`: held for so many seconds until there is a seat.", "header"),
    ),
    errors=(
        *(Reason.BAD_PARAMETER, Reason.MISSING_PARAMETER, Reason.UNKNOWN_POOL, Reason.RATE_LIMITED),
        *(Reason.NO_CAPACITY, Reason.NO_HANDLERS, Reason.COME_BACK, Reason.ALLOCATION_UNAVAILABLE),
    ),
    tag="chat",
)


@dataclass(slots=True)
class SeatEndpoint:
    pools: Pools
    metrics: Metrics
    room: WaitingRoom
    """Where requests with `Prefer: wait=` are. While it is full they are answered at once."""
    clock: Callable[[], float] = time.monotonic
    rng: random.Random = field(default_factory=random.Random)

    def endpoints(self) -> list[Endpoint]:
        path, methods, operations = "/get_websocket_handler", ("GET",), (ASKED,)
        return [Endpoint(path, methods, "user", self.answer, limited=True, head=False, operations=operations)]

    async def answer(self, exchange: Exchange) -> Reply | GatewayError:
        """A seat for the verified user. It is given back when the client hangs up before its answer."""
        pool = self.pools.asked_for(exchange)
        if isinstance(pool, GatewayError):
            return pool
        if pool.tunnel and not (pool.public_url or exchange.target.host):
            return gateway_error(Reason.BAD_HOST)
        wish = _read_wish(exchange)
        if isinstance(wish, GatewayError):
            return wish
        found = await self._ask(pool, wish)
        applied: Pairs = ()
        if wish.wait_s:
            with self.room.place() as waits:
                if waits:
                    found = await self._wait(pool, wish, found)
                    applied = (("Preference-Applied", f"wait={wish.wait_s}"),)
        if not isinstance(found, Grant):
            return self._refuse(pool, found, applied)
        exchange.instance, exchange.decision = found.handler_id, found.sequence
        exchange.on_undelivered = lambda: pool.allocator.cancel(found.jti)
        self.metrics.seat(pool.name, "reserved")
        if pool.tunnel:
            base = pool.public_url or f"{exchange.client.scheme}://{exchange.target.host}"
            found = found._replace(url=tunnel_url(base, found.handler_id, pool.tunnel), path="")
        return Reply(200, found.json(), (*JSON, *applied))

    async def _ask(self, pool: Pool, wish: "_Wish") -> Grant | SeatRefused | ComeBack:
        started = self.clock()
        found = await pool.allocator.allocate(
            wish.uid,
            client_id=wish.client_id,
            last=wish.last,
            exclude=wish.exclude,
            session_id=wish.session_id,
            queue_token=wish.queue_token,
        )
        self.metrics.decided(pool.name, self.clock() - started)
        return found

    async def _wait(
        self, pool: Pool, wish: "_Wish", found: Grant | SeatRefused | ComeBack
    ) -> Grant | SeatRefused | ComeBack:
        """Asks again until there is a seat or the time is over."""
        until, tries = self.clock() + wish.wait_s, 1
        while not isinstance(found, Grant):
            reason = SeatRefusal.COME_BACK if isinstance(found, ComeBack) else found.reason
            left_s = until - self.clock()
            pause_s = pause_before(reason, found.retry_after_s, tries, left_s, self.rng.random())
            if pause_s is None or not await self.room.pause(pause_s):
                break
            if isinstance(found, ComeBack) and found.queue_token is not None:
                wish = wish._replace(queue_token=found.queue_token)
            found, tries = await self._ask(pool, wish), tries + 1
        return found

    def _refuse(self, pool: Pool, refused: SeatRefused | ComeBack, applied: Pairs) -> GatewayError:
        error = from_come_back(refused) if isinstance(refused, ComeBack) else from_seat_refused(refused)
        self.metrics.seat(pool.name, error.reason)
        return replace(error, headers=(*error.headers, *applied)) if applied else error


class _Wish(NamedTuple):
    """What a client has said of the seat it wants."""

    uid: str
    client_id: str | None
    session_id: str | None
    last: str | None
    exclude: tuple[str, ...]
    queue_token: str | None
    wait_s: int


def _read_wish(exchange: Exchange) -> _Wish | GatewayError:
    assert exchange.user is not None
    headers = exchange.request.headers
    client_id, session_id = headers.get(_CLIENT_ID), headers.get(_SESSION_ID)
    if client_id is not None and (problem := client_id_problem(client_id)) is not None:
        return gateway_error(Reason.BAD_PARAMETER, message=problem)
    if session_id is not None and (problem := session_id_problem(session_id)) is not None:
        return gateway_error(Reason.BAD_PARAMETER, message=problem)
    last = headers.get(_LAST)
    return _Wish(
        exchange.user.id,
        client_id,
        session_id,
        None if last is None else next(iter(handler_names((last,))), None),
        handler_names(headers.getall(_EXCLUDE)) if _EXCLUDE in headers else (),
        headers.get(_QUEUE_TOKEN),
        wait_s(headers.getall(_PREFER)) if _PREFER in headers else 0,
    )
