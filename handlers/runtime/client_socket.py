"""The WebSocket of one client, as a handler process needs it: it knows when it was last used, and a
goodbye does not wait for ever for a client that does not read.

Nothing here cancels a send that waits for its client: aiohttp shares one future among all who wait, so
the application's own sends would end as cancelled too (aiohttp 3.14, `BaseProtocol._drain_helper`).
"""

import asyncio
import time
from collections.abc import Collection, Coroutine
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from handlers.model import Uid
from handlers.ticket import Purpose

CLOSE_WAIT_S = 2.0
"""So long a client may take to answer a close frame."""
BEHIND = 16_384
"""Bytes that wait to be sent. With no more than that asyncio's transports take a frame without a wait:
it is the mark below which they let a paused writer go on."""
AT_ONCE = 128
"""Clients that are told something before others get their turn."""


class ClientSocket(web.WebSocketResponse[Literal[True]]):
    """`active_at` is on the monotonic clock: when the application last waited for its client or sent."""

    active_at = 0.0
    _transport: asyncio.Transport | None = None
    _parted: asyncio.Event | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        self._transport = request.transport
        return await super().prepare(request)

    def receive(self, *args: Any, **kwargs: Any) -> Any:
        self.active_at = time.monotonic()
        return super().receive(*args, **kwargs)

    def send_str(self, data: str, compress: int | None = None) -> Coroutine[Any, Any, None]:
        self.active_at = time.monotonic()
        return super().send_str(data, compress)

    def send_bytes(self, data: bytes, compress: int | None = None) -> Coroutine[Any, Any, None]:
        self.active_at = time.monotonic()
        return super().send_bytes(data, compress)

    @property
    def keeps_up(self) -> bool:
        """Whether a frame can be sent without waiting for the client to read."""
        return self._transport is not None and self._transport.get_write_buffer_size() <= BEHIND

    async def tell(self, frame: str) -> bool:
        """Sends a control frame, which is no use of the connection. False if the client is gone.

        For a client that does not keep up it waits, until that reads or is gone.
        """
        try:
            await super().send_str(frame)
        except ConnectionError:
            return False
        return True

    async def part(self, code: int, reason: str = "", wait_s: float = 2 * CLOSE_WAIT_S) -> None:
        """Closes, or waits for a closing that is under way. A client that does not answer within
        `wait_s` is cut off."""
        if self._parted is not None:
            await self._parted.wait()
            return
        self._parted = asyncio.Event()
        cut_off = asyncio.get_running_loop().call_later(wait_s, self.abort)
        try:
            await self.close(code=code, message=reason.encode(), drain=False)
        finally:
            cut_off.cancel()
            self._parted.set()

    def abort(self) -> None:
        """Ends the connection without a word."""
        if self._transport is not None:
            self._transport.abort()


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One admitted client. `session_id` stays the same when it moves to another handler, and is a name
    among the sessions of its user: keep what you keep under both, `(uid, session_id)`."""

    uid: Uid
    session_id: str
    purpose: Purpose
    socket: ClientSocket
    seq: int | None = None
    """The number of the last message the client has, from another handler or an earlier connection."""
    resumed: bool = False
    """The client was connected in this session before."""


async def tell_all(sockets: Collection[ClientSocket], frame: str) -> None:
    """Sends a control frame to each that keeps up. The others hold nobody up, and are not told."""
    for told, socket in enumerate(sockets, start=1):
        if socket.keeps_up:
            await socket.tell(frame)
        if told % AT_ONCE == 0:
            await asyncio.sleep(0)
