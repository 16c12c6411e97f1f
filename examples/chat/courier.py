"""Brings a client's frame to its partner: here, or on another handler.

Delivered means handed to the recipient's connection; the sender is told either way. A frame is tried
again only where it certainly did not arrive before, so nobody gets it twice.
"""

import asyncio
from asyncio import Queue, QueueFull, Transport
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import structlog
from aiohttp import web

from examples.chat.frames import Delivered, Frame, Reason, Undelivered
from examples.chat.peers import NotHere, Peers

log = structlog.get_logger()

LONGEST_QUEUE = 64
"""Frames that wait for a slow client: under half a megabyte."""
SEND_S = 10.0
"""A client that takes longer to accept one frame is gone."""


class Mailbox:
    """What waits to be sent to one client. A client that doesn't keep up is cut off, not waited for."""

    def __init__(self, socket: web.WebSocketResponse, transport: Transport | None) -> None:
        self._socket = socket
        self._transport = transport
        self._waiting: Queue[Mapping[str, Any]] = Queue(LONGEST_QUEUE)

    def put(self, frame: Mapping[str, Any]) -> bool:
        """Never waits. False for a client that is cut off."""
        try:
            self._waiting.put_nowait(frame)
        except QueueFull:
            self.cut_off("its queue is full")
            return False
        return not self._socket.closed

    async def send_all(self) -> None:
        """Sends what comes until the connection is over."""
        while True:
            frame = await self._waiting.get()
            try:
                async with asyncio.timeout(SEND_S):
                    await self._socket.send_str(orjson.dumps(frame).decode())
            except TimeoutError:
                self.cut_off("it accepts nothing")
                return
            except ConnectionError:
                return

    def cut_off(self, reason: str) -> None:
        """At once: a close frame would queue behind what the client doesn't read."""
        log.warning("slow_client_cut_off", reason=reason)
        if self._transport is not None:
            self._transport.abort()


class Courier:
    """Knows the clients of this handler, and finds those of others through `peers`."""

    def __init__(self, handler: str, peers: Peers) -> None:
        self._handler = handler
        self._peers = peers
        self._here: dict[str, set[Mailbox]] = {}

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

    def deliver_here(self, uid: str, frame: Mapping[str, str]) -> bool:
        """To every connection the user has here. False when there is none."""
        taken = [mailbox.put(frame) for mailbox in self._here.get(uid, ())]
        return any(taken)

    async def deliver(self, sender: str, frame: Frame) -> Delivered | Undelivered:
        """Brings `frame` to its recipient, if the two are matched."""
        matched = await self._peers.matched(sender, frame.to)
        if not matched:
            return Undelivered(Reason.UNAVAILABLE if matched is None else Reason.NOT_MATCHED)
        passed = frame.passed_on(sender, self._handler)
        if self.deliver_here(frame.to, passed):
            return Delivered(self._handler)
        return await self._deliver_elsewhere(frame.to, passed)

    async def _deliver_elsewhere(self, to: str, passed: Mapping[str, str]) -> Delivered | Undelivered:
        """What is remembered of the place may be old, so it is asked for once more when it is wrong."""
        tried = None
        for _ in range(2):
            place = await self._peers.locate(to)
            if isinstance(place, Undelivered):
                return place
            if place == tried or place.handler == self._handler:
                break
            answer = await self._peers.hand_over(place, to, passed)
            if not isinstance(answer, NotHere):
                return answer
            self._peers.forget_place(to)
            tried = place
        return Undelivered(Reason.OFFLINE)
