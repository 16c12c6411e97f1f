"""Moves clients to other handlers: all of them when this one drains or stops, a few to even out the load.

Clients are named in a report; those that get a seat elsewhere are told where (`migrate`), open the new
connection and then close this one. Seats that are promised but not yet told of are kept under the
session's id, so a client that is named again, because an answer was lost, gets the same one.
"""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Collection

import structlog

from handlers import control_frames
from handlers.closing import CloseCode
from handlers.drain_pace import FOLLOW_S, MAX_MOVES, TICK_S, DrainPace, first_to_go, nameable
from handlers.heard import Migration, Noted
from handlers.model import DrainOrder, Move
from handlers.runtime.client_socket import Session
from handlers.runtime.gateway_link import GatewayLink
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

log = structlog.get_logger()

SAME_S = 0.5
"""Deadlines this close are one: each report tells what is left, as of when it was answered."""
REBALANCE_S = 1.0
"""Between two steps of a rebalance."""
HOOK_S = 5.0
"""So long an application may take to put a client's state where the other handler finds it."""
AGAIN_S = 10.0
"""Who is still here so long after it was told to go could not follow: clients try for 8 s at most."""
SOON_S = 0.01

Hook = Callable[[Session], Awaitable[None]]


class Mover:
    """`sessions` are the clients that are here, in the order in which they came.

    `on_migrate_out` is called before a client is told to go; `spread_s` is how long the closing of those
    that could not be moved takes. `run` is the loop; its owner runs it as a task.
    """

    def __init__(
        self,
        link: GatewayLink,
        sessions: Callable[[], Collection[Session]],
        *,
        on_migrate_out: Hook | None,
        spread_s: float,
        rng: random.Random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._sessions = sessions
        self._on_migrate_out = on_migrate_out
        self._spread_s = spread_s
        self._rng = rng
        self._clock = clock
        self._wanted = asyncio.Event()
        self._order: DrainOrder | None = None
        self._told = self._deadline = self._leave_by = math.inf
        self._rebalance = 0
        self._pace: DrainPace | None = None
        self._sent: dict[Session, float] = {}
        """Who was told to go, and until when they may be here."""
        self._again: dict[Session, float] = {}
        """When they may be told once more."""
        self._tries: dict[Session, int] = {}
        """How often each was told in this drain."""
        self._planned: dict[Session, float] = {}
        """When those who could not be moved are closed."""
        self._parting: set[Session] = set()
        self._no_room = False
        self._tasks = Tasks(_failed)

    # --- what is wanted --------------------------------------------------------------------------

    def heard(self, noted: Noted) -> None:
        """What a gateway wants of us."""
        now, known, self._order = self._clock(), self._order is not None, noted.drain
        self._rebalance = min(
            self._rebalance + noted.rebalance, MAX_MOVES
        )  # each answer asks for so many more
        if self._order is None:
            self._deadline = math.inf
        elif not known or self._order.remaining_s > 0:
            told = now + self._order.remaining_s
            if not known or abs(told - self._told) > SAME_S:
                # A deadline that is over when we hear of it leaves time not to close all at once.
                self._told, self._deadline = told, max(told, now + self._spread_s)
        if self._order is not None or self._rebalance:
            self._wanted.set()

    def leave_by(self, deadline: float) -> None:
        """This process stops: nobody is to be here at `deadline`, on the clock's time."""
        self._leave_by = deadline
        self._wanted.set()

    def left(self, session: Session) -> None:
        """That client is gone."""
        self._sent.pop(session, None)
        self._again.pop(session, None)
        self._tries.pop(session, None)
        self._planned.pop(session, None)
        self._parting.discard(session)

    # --- how it is done --------------------------------------------------------------------------

    async def run(self) -> None:
        """Never ends by itself."""
        try:
            while True:
                await self._wanted.wait()
                await asyncio.sleep(await self._step())
        finally:
            await self._tasks.close()

    async def _step(self) -> float:
        """One step; returns how long to wait before the next."""
        now = self._clock()
        pace = self._current_pace(now)
        if pace is not None:
            self._rebalance = 0
            self._take_back(now)
            await self._move(pace.share(len(self._waiting()), now), pace)
            return self._close_due(pace)
        if self._rebalance:
            wanted, self._rebalance = self._rebalance, 0
            await self._move(wanted, None)
            return REBALANCE_S
        self._wanted.clear()
        return 0.0

    def _current_pace(self, now: float) -> DrainPace | None:
        """The pace of the drain that is wanted; a new one when that has changed."""
        ends, rate = min(self._deadline, self._leave_by), self._order.rate if self._order else None
        if ends == math.inf:
            if self._pace is not None:
                log.info("drain_called_off", clients=len(self._sessions()))
                self._pace = None
            return None
        if self._pace is None:
            log.info("moving_clients", clients=len(self._sessions()), seconds=round(ends - now, 1))
            self._sent.clear()
            self._again.clear()
            self._tries.clear()
            self._no_room = False
        if self._pace is None or (ends, rate) != (self._pace.ends, self._pace.rate):
            self._planned.clear()
            self._pace = DrainPace(now, ends, rate=rate, spread_s=self._spread_s)
        return self._pace

    def _take_back(self, now: float) -> None:
        """Who could not follow waits again, and is served: its new handler may be gone, or have refused it.

        The gateway gives it the same seat again as long as that is good, and else another.
        """
        for session in [session for session, at in self._again.items() if at <= now]:
            del self._again[session]
            self._sent.pop(session, None)

    def _waiting(self) -> list[Session]:
        """Who is here and not sent away so far."""
        gone = self._sent.keys() | self._parting
        return [session for session in self._sessions() if session not in gone]

    async def _move(self, count: int, pace: DrainPace | None) -> None:
        """Asks for seats elsewhere for `count` clients, and sends away who got one."""
        tries = self._tries
        ready = (
            # Who could not follow goes last, however idle: it may never be able to, and others are.
            (session, math.inf if session in tries else session.socket.active_at)
            for session in sorted(self._waiting(), key=lambda session: tries.get(session, 0))
            if nameable(session.uid, session.session_id)
        )
        # By id, and each id once: whose ticket it is must be beyond doubt.
        named = {session.session_id: session for session in first_to_go(ready, self._clock(), count)}
        if not named:
            return
        noted = await self._link.report(tuple(Move(session.uid, id_) for id_, session in named.items()))
        now, here = self._clock(), set(self._sessions())
        for migration in () if noted is None else noted.migrate:
            session = named.pop(migration.session_id, None)
            if session is None or session not in here:
                continue
            self._sent[session] = math.inf
            if pace is not None:
                self._schedule(session, pace, now)
            self._tasks.start(f"migrate {session.session_id}", self._send_away(session, migration))
        if noted is not None and named and not self._no_room:
            self._no_room = True
            log.warning("no_room_elsewhere", clients=len(named), detail="they are served here meanwhile")

    def _schedule(self, session: Session, pace: DrainPace, now: float) -> None:
        """When a client that is sent away now is closed, and when it may be sent away once more."""
        pace.moved(1)
        tries = self._tries[session] = self._tries.get(session, 0) + 1
        patience_s = AGAIN_S if self._on_migrate_out is None else HOOK_S + AGAIN_S
        self._sent[session] = pace.follow_by(now, self._rng)
        self._again[session] = pace.again_at(now, tries, patience_s)

    async def _send_away(self, session: Session, migration: Migration) -> None:
        until = min(self._sent.get(session, math.inf), self._clock() + FOLLOW_S)
        if self._on_migrate_out is not None:
            try:
                async with asyncio.timeout(HOOK_S):
                    await self._on_migrate_out(session)
            except Exception as error:  # noqa: BLE001 the client has its seat whatever the application does
                log.error("on_migrate_out_failed", session=session.session_id, trace=trace_of(error))
        await session.socket.tell(control_frames.migrate(migration, until - self._clock()))

    def _close_due(self, pace: DrainPace) -> float:
        """Closes whose time is up; returns how long there is nothing more to do."""
        now = self._clock()
        if now >= pace.closing_from:
            new = [session for session in self._waiting() if session not in self._planned]
            self._planned |= zip(new, pace.closing_times(len(new), now, self._rng), strict=True)
        next_at = now + TICK_S if now >= pace.closing_from else min(now + TICK_S, pace.closing_from)
        for session, at in (self._planned | self._sent).items():
            at = min(at, pace.closed_by)
            if session in self._parting:
                continue
            if at > now:
                next_at = min(next_at, at)
                continue
            self._parting.add(session)
            self._tasks.start("close", session.socket.part(CloseCode.RESTART, "restart"))
        return max(SOON_S, next_at - now)

    def __repr__(self) -> str:
        return f"<Mover: {self._pace!r}, {len(self._sent)} sent away, {len(self._parting)} closing>"


def _failed(name: str, error: BaseException) -> None:
    """One client's; the others go on."""
    log.error("task_died", task=name, trace=trace_of(error))
