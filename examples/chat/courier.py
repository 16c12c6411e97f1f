"""Brings a client's frame to its partner: here, or on another handler.

A message is kept before it is brought anywhere: then no death of a handler loses it, and its number lets
everybody who meets it twice drop it. Delivered means handed to the recipient's connection; the sender is
told either way. What is no message has no number: it is tried again only where it certainly did not
arrive before, so nobody gets it twice.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from examples.chat.frames import Delivered, Frame, Kept, Kind, NotHere, Reason, Undelivered
from examples.chat.mailbox import Mailbox
from examples.chat.peers import Peers
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

log = structlog.get_logger()

TRIES = 3
PAUSE_S = 0.15
"""For somebody who is between two handlers: their reports reach the gateway in about 25 ms."""
UNSURE_S = 60.0
"""So long after it was handed to a connection that ended, a message may not have arrived: more than the
heartbeat takes to notice that a client has vanished."""
SETTLE_S = 1.0


class Courier:
    """Knows the clients of this handler, and finds those of others through `peers`."""

    def __init__(self, handler: str, peers: Peers) -> None:
        self._handler = handler
        self._peers = peers
        self._here: dict[str, set[Mailbox]] = {}
        self._tasks = Tasks(_died)
        self._forwarding: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def at_home(self, uid: str, mailbox: Mailbox) -> AsyncIterator[None]:
        """`uid` can be reached by the mailbox inside the block."""
        self._here.setdefault(uid, set()).add(mailbox)
        try:
            yield
        finally:
            self._here[uid].discard(mailbox)
            if not self._here[uid]:
                del self._here[uid]
            self._forward(uid, mailbox)

    def deliver_here(self, uid: str, frame: Mapping[str, Any]) -> bool:
        """To every connection the user has here. False when there is none."""
        taken = [mailbox.put(frame) for mailbox in self._here.get(uid, ())]
        return any(taken)

    async def deliver(self, sender: str, frame: Frame) -> Delivered | Kept | Undelivered:
        """Brings `frame` to its recipient, if the two are matched."""
        if frame.kind is Kind.MESSAGE:
            return await self._deliver_message(sender, frame)
        matched = await self._peers.matched(sender, frame.to)
        if not matched:
            return Undelivered(Reason.UNAVAILABLE if matched is None else Reason.NOT_MATCHED)
        return await self._bring(frame.to, frame.passed_on(sender, self._handler))

    async def _deliver_message(self, sender: str, message: Frame) -> Delivered | Kept | Undelivered:
        seq = await self._peers.keep(sender, message)
        if isinstance(seq, Undelivered):
            return seq
        brought = await self._bring(message.to, message.passed_on(sender, self._handler, seq))
        return Kept(brought.reason) if isinstance(brought, Undelivered) else brought

    async def _bring(self, to: str, passed: Mapping[str, Any]) -> Delivered | Undelivered:
        """What is remembered of the place may be old, so it is asked for again when it is wrong."""
        if self.deliver_here(to, passed):
            return Delivered(self._handler)
        tried = None
        for attempt in range(TRIES):
            place = await self._peers.locate(to)
            if isinstance(place, Undelivered):
                return place
            if place == tried or place.handler == self._handler:
                if attempt == TRIES - 1:
                    break
                await asyncio.sleep(PAUSE_S)
                if self.deliver_here(to, passed):
                    return Delivered(self._handler)
            else:
                answer = await self._peers.hand_over(place, to, passed)
                if not isinstance(answer, NotHere):
                    return answer
            self._peers.forget_place(to)
            tried = place
        return Undelivered(Reason.OFFLINE)

    # --- what a connection that ended leaves behind ----------------------------------------------

    def _forward(self, uid: str, mailbox: Mailbox) -> None:
        """Whoever moves may leave just as something is handed to the old connection.

        So the last number goes after it: the new connection has it already, or learns what it lacks.
        """
        if mailbox.newest is None or time.monotonic() > mailbox.newest_at + UNSURE_S:
            return
        task = self._tasks.start(f"forwarding to {uid}", self._hand_on(uid, mailbox.newest))
        self._forwarding.add(task)
        task.add_done_callback(self._forwarding.discard)

    async def _hand_on(self, uid: str, frame: Mapping[str, Any]) -> None:
        self._peers.forget_place(uid)
        await self._bring(uid, frame)

    async def close(self) -> None:
        """Gives what is being forwarded a moment."""
        if self._forwarding:
            await asyncio.wait(self._forwarding, timeout=SETTLE_S)
        await self._tasks.close()


def _died(name: str, error: BaseException) -> None:
    log.error("task_died", task=name, trace=trace_of(error))
