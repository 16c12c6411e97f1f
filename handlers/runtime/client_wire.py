"""A chat client's two conversations: one question to the gateway, and one WebSocket to a handler.

The only place of the client that knows aiohttp and its errors; what went wrong comes back as a value.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from handlers.client import Answer
from handlers.client_messages import CONNECT_S, Destination, with_seq
from registry.backends.shared.session import read_text

ASK_S = 20.0
"""More than the longest `Prefer: wait=` that a gateway grants."""
SEND_S = 10.0
MAX_ANSWER = 65_536
BROKEN = 1006
"""Of a connection that ended without a close frame, or was never made."""
NO_CODE = 1005
"""Of a close frame without a code."""
_CLOSING = aiohttp.ClientWSTimeout(ws_close=2.0)

Message = dict[str, Any] | str | bytes
"""A JSON object comes parsed, everything else as it came."""


def client_session(local_address: str | None = None) -> ClientSession:
    """A session that any number of clients may share.

    One local address has about 28,000 ports towards one listening address; where that is too few, give
    each batch of clients an address of its own (127.0.0.2, 127.0.0.3, … on Linux).
    """
    return ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, local_addr=None if local_address is None else (local_address, 0)
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=ASK_S, sock_connect=CONNECT_S),
    )


async def ask(
    session: ClientSession, url: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> Answer:
    """The gateway's answer to one question; status 0 when there is none that makes sense."""
    try:
        async with session.get(url, params=query, headers=headers, allow_redirects=False) as answer:
            body = orjson.loads(await read_text(answer, MAX_ANSWER))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return Answer(0)
    told = body if isinstance(body, dict) else {}
    return Answer(answer.status, told, answer.headers.get("Retry-After"))


class Link:
    """One welcomed connection."""

    __slots__ = ("socket", "to")

    def __init__(self, to: Destination, socket: ClientWebSocketResponse) -> None:
        self.to = to
        self.socket = socket

    async def receive(self) -> tuple[Message, dict[str, Any]] | int:
        """A message and its JSON object (empty if it is none), or the close code."""
        message = await self.socket.receive()
        if message.type is WSMsgType.TEXT:
            frame = _object(message.data)
            return frame or message.data, frame
        if message.type is WSMsgType.BINARY:
            return message.data, {}
        # aiohttp calls an end without a close frame 1000 too: only the frame itself can be believed.
        return (message.data or NO_CODE) if message.type is WSMsgType.CLOSE else BROKEN

    async def send(self, message: Message) -> bool:
        """False when it certainly does not arrive."""
        try:
            async with asyncio.timeout(SEND_S):
                if isinstance(message, bytes):
                    await self.socket.send_bytes(message)
                else:
                    text = message if isinstance(message, str) else orjson.dumps(message).decode()
                    await self.socket.send_str(text)
        except (TimeoutError, ConnectionError, aiohttp.ClientError):
            return False
        return True

    async def close(self) -> None:
        """With 1000, as somebody who has finished. Takes two seconds at most."""
        if not self.socket.closed:
            await self.socket.close()


async def connect(session: ClientSession, to: Destination, seq: int | None, within_s: float) -> Link | int:
    """A connection whose handler has welcomed us, or the code that says why there is none."""
    link = None
    try:
        async with asyncio.timeout(within_s):
            url = with_seq(to.url, seq)
            link = Link(to, await session.ws_connect(url, protocols=to.protocols, timeout=_CLOSING))
            code = None if to.ticket is None else await _welcome(link)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        code = BROKEN
    except asyncio.CancelledError:
        if link is not None:
            await link.close()
        raise
    if link is None or code is not None:
        if link is not None:
            await link.close()
        return BROKEN if code is None else code
    return link


async def _welcome(link: Link) -> int | None:
    """`None` once the handler has said it, which it does before all else; or its close code."""
    received = await link.receive()
    if isinstance(received, int):
        return received
    return None if received[1].get("type") == "welcome" else BROKEN


def _object(text: str) -> dict[str, Any]:
    """The JSON object of a text, an empty one when it is none."""
    if not text.startswith("{"):
        return {}
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
