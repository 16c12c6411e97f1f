"""Clients that are to leave their handler: how many should, and seats elsewhere for those it names."""

import random
from collections.abc import Callable

import structlog

from handlers.answers import Migration
from handlers.fleet import FleetSnapshot
from handlers.grants import migration
from handlers.model import HandlerId, Jti, Move, Report, Seat, SeatRequest
from handlers.outage import Mode
from handlers.rebalance import Rebalance
from handlers.runtime.standby import Standby
from handlers.stores.base import Store, StoreUnreachable
from handlers.ticket import TicketSecrets

log = structlog.get_logger()

MAX_MOVES = 256
"""Clients that one report may ask seats elsewhere for; of more, the first."""


class Departures:
    """Of one pool. `rebalance`: also from handlers that are only fuller than others. `clock` tells unix
    seconds, `monotonic` those that never jump."""

    def __init__(
        self,
        store: Store,
        standby: Standby,
        secrets: TicketSecrets,
        *,
        rebalance: bool,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        rng: random.Random,
        gateways: Callable[[], int],
    ) -> None:
        self._store = store
        self._standby = standby
        self._secrets = secrets
        self._rebalance = Rebalance() if rebalance else None
        self._clock = clock
        self._monotonic = monotonic
        self._rng = rng
        self._gateways = gateways

    def wanted(self, report: Report, fleet: FleetSnapshot) -> int:
        """How many clients that handler, which is not draining, should give away."""
        if self._rebalance is None or report.leaving or self._standby.mode is Mode.DEGRADED:
            return 0
        now, gateways = self._monotonic(), self._gateways()
        return self._rebalance.wanted(report.id, report.connections, fleet, now, gateways)

    async def seats(self, report: Report, *, draining: bool) -> tuple[Migration, ...]:
        """For the clients that it names, if it is to lose clients; for those for whom there is room.

        Each is a ticket for that user elsewhere, so it gets none for users who don't sit there.
        """
        moves = report.move[:MAX_MOVES]
        if not draining and not report.leaving:
            moves = moves[: self._rebalance.named(report.id, len(moves)) if self._rebalance else 0]
        try:
            moves = await self._of_clients_there(report.id, moves)
        except StoreUnreachable:
            return ()  # as below
        if not moves:
            return ()
        here = frozenset([report.id])
        requests = [
            SeatRequest(
                uid,
                Jti(self._rng.randbytes(16).hex()),
                # The same session asked for twice, since an answer was lost, moves once.
                client_id=f"move:{session_id}",
                exclude=here,
                moving=True,
            )
            for uid, session_id in moves
        ]
        before = self._clock()
        try:
            seats = await self._standby.asked(self._store.batch_alloc(requests))
        except StoreUnreachable:
            return ()  # the report itself was taken, and its handler asks again
        return tuple(
            migration(seat, before, self._secrets, move.session_id)
            for seat, move in zip(seats, moves, strict=True)
            if isinstance(seat, Seat)
        )

    async def _of_clients_there(self, handler: HandlerId, moves: tuple[Move, ...]) -> tuple[Move, ...]:
        if not moves or not self._standby.store_knows_all:
            return moves
        uids = {move.uid for move in moves}
        seated = await self._standby.asked(self._store.seated(handler, uids))
        if len(seated) < len(uids):
            log.warning("moves_refused", handler=handler, users=len(uids) - len(seated), reason="not_there")
        return tuple(move for move in moves if move.uid in seated)
