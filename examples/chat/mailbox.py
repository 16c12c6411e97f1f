"""What waits to be sent to one connection: numbered messages in order and once, all else as it comes.

The kept messages are the truth, and what is put in here is the news of them. So a number that has been
sent is dropped, and one that leaves a gap makes the mailbox ask for what is missing.
"""

import asyncio
import time
from asyncio import Queue, QueueFull, Transport
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import structlog
from aiohttp import web

from examples.chat.frames import Missed

log = structlog.get_logger()

LONGEST_QUEUE = 64
"""Frames that wait for a slow client: under half a megabyte."""
SEND_S = 10.0
"""A client that takes longer to accept one frame is gone."""
ASK_AGAIN_S, ASK_SELDOM_S = 1.0, 30.0
"""Between two questions for what is missing, while nobody can say: at first, and in the end."""

Ask = Callable[[int], Awaitable[Missed | None]]


class Mailbox:
    """A client that doesn't keep up is cut off, not waited for. `seq` is the last number the client has."""

    def __init__(
        self, socket: web.WebSocketResponse, transport: Transport | None, missed: Ask, seq: int = 0
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._missed = missed
        self._waiting: Queue[Mapping[str, Any]] = Queue(LONGEST_QUEUE)
        self._seq = seq
        self._behind = True
        self._ask_again_s = ASK_AGAIN_S
        self.newest: Mapping[str, Any] | None = None
        """The numbered frame put in last: if the connection ends now, perhaps it never arrived."""
        self.newest_at = 0.0
        """Monotonic seconds."""

    def put(self, frame: Mapping[str, Any]) -> bool:
        """Never waits. False for a client that is cut off."""
        try:
            self._waiting.put_nowait(frame)
        except QueueFull:
            self.cut_off("its queue is full")
            return False
        if "seq" in frame:
            self.newest, self.newest_at = frame, time.monotonic()
        return not self._socket.closed

    async def send_all(self) -> None:
        """Sends what was missed, then what comes, until the connection is over."""
        try:
            while True:
                if self._behind and await self._catch_up():
                    self._behind, self._ask_again_s = False, ASK_AGAIN_S
                frame = await self._next()
                if frame is not None:
                    await self._pass(frame)
        except TimeoutError:
            self.cut_off("it accepts nothing")
        except ConnectionError:
            return

    async def _next(self) -> Mapping[str, Any] | None:
        """`None` when it is time to ask again for what is missing."""
        try:
            async with asyncio.timeout(self._ask_again_s if self._behind else None):
                return await self._waiting.get()
        except TimeoutError:
            self._ask_again_s = min(2 * self._ask_again_s, ASK_SELDOM_S)
            return None

    async def _pass(self, frame: Mapping[str, Any]) -> None:
        seq = frame.get("seq")
        if not isinstance(seq, int):
            await self._send(frame)
        elif seq == self._seq + 1 and not self._behind:
            await self._send(frame)
            self._seq = seq
        elif seq > self._seq:
            self._behind = True

    async def _catch_up(self) -> bool:
        """Asks until nothing is missing. False when nobody can say."""
        while (found := await self._missed(self._seq)) is not None:
            for letter in found.letters:
                await self._send(letter.frame())
                self._seq = letter.seq
            self._seq = max(self._seq, found.last)
            if not found.more:
                return True
        return False

    async def _send(self, frame: Mapping[str, Any]) -> None:
        async with asyncio.timeout(SEND_S):
            await self._socket.send_str(orjson.dumps(frame).decode())

    def cut_off(self, reason: str) -> None:
        """At once: a close frame would queue behind what the client doesn't read."""
        log.warning("slow_client_cut_off", reason=reason)
        if self._transport is not None:
            self._transport.abort()
