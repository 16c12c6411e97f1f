"""What comes before HTTP on a connection of a trusted proxy: a header of the PROXY protocol.

Rules of this file: a connection either begins as its proxy must make it begin, or ends without a word.
Whoever is no trusted proxy has no such header read: it could say anything.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from gateway.client_address import Network, is_in, parse_address
from gateway.proxy_protocol import Unread, read_proxy_header


class Connection(Protocol):
    """What takes over when the header has been read."""

    peer: str

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def data_received(self, data: bytes) -> None: ...


class Waiting(Protocol):
    """What a server knows of connections whose header has not come yet."""

    def add(self, one: "Preamble", /) -> None: ...
    def discard(self, one: "Preamble", /) -> None: ...


class Preamble(asyncio.Protocol):
    """Reads the header, then hands the connection on to what `begin` makes.

    It waits `patience_s` for it, in `waiting` for as long.
    """

    def __init__(
        self,
        begin: Callable[[], Connection],
        trusted: tuple[Network, ...],
        waiting: Waiting,
        patience_s: float,
    ) -> None:
        self._begin = begin
        self._trusted = trusted
        self._waiting = waiting
        self._patience_s = patience_s
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses.
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        address = parse_address(peer[0]) if isinstance(peer, tuple) else None
        if address is None or not is_in(address, self._trusted):
            self._hand_on(None)
            return
        self._waiting.add(self)
        self._timer = asyncio.get_running_loop().call_later(self._patience_s, self.close)

    def data_received(self, data: bytes) -> None:
        self._data += data
        header = read_proxy_header(self._data)
        if header is Unread.MALFORMED:
            self.close()
        elif not isinstance(header, Unread):
            self._stop()
            behind = self._data[header.size :]
            connection = self._hand_on(header.source)
            if behind:
                connection.data_received(behind)

    def connection_lost(self, _: Exception | None) -> None:
        self._stop()

    def close(self) -> None:
        """Without an answer: whoever is there does not speak HTTP."""
        self._stop()
        if self._transport is not None:
            self._transport.abort()

    def _stop(self) -> None:
        self._waiting.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def _hand_on(self, source: str | None) -> Connection:
        assert self._transport is not None
        connection = self._begin()
        self._transport.set_protocol(cast(asyncio.BaseProtocol, connection))
        connection.connection_made(self._transport)
        if source is not None:
            connection.peer = source
        return connection
