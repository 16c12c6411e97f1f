"""Two connections made one: after a 101 the gateway carries bytes and understands none of them.

Each end is slowed down by the other: while one does not take what it is sent, the other is not read. An
end that says it will send no more (FIN) is believed and heard no more, and the tunnel lives on until the
other end says so too; an end that breaks takes the other with it.
"""

import asyncio
from math import inf
from typing import cast

LAST_WORDS_S = 2.0
"""How long the last bytes of a client that has gone may take to the instance."""


class End(asyncio.Protocol):
    """One of the two ends. `behind` is the protocol that the transport belonged to: it is told of its end."""

    __slots__ = ("_paused", "_tunnel", "behind", "carried", "finished", "lost", "transport")

    def __init__(self, tunnel: "Tunnel") -> None:
        self._tunnel = tunnel
        self._paused = False
        self.transport: asyncio.Transport | None = None
        self.behind: asyncio.BaseProtocol | None = None
        self.carried = 0
        """Bytes that came in at this end."""
        self.finished = False
        """It will say no more."""
        self.lost = False

    @property
    def other(self) -> "End":
        return self._tunnel.instance if self is self._tunnel.client else self._tunnel.client

    def data_received(self, data: bytes) -> None:
        self._tunnel.alive()
        self.carried += len(data)
        transport = self.other.transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    def eof_received(self) -> bool:
        self.finished = True
        self._tunnel.said_goodbye(self)
        # TLS has no half-closed connections, and asyncio warns of who asks for one.
        return self.transport is not None and self.transport.can_write_eof()

    def pause_writing(self) -> None:
        self._pause_other(paused=True)

    def resume_writing(self) -> None:
        self._pause_other(paused=False)

    def _pause_other(self, *, paused: bool) -> None:
        other = self.other
        if other.transport is None or other.transport.is_closing() or other._paused is paused:
            return
        other._paused = paused
        if paused:
            other.transport.pause_reading()
        else:
            self._tunnel.alive()
            other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self.behind is not None:
            self.behind.connection_lost(exc)
        self._tunnel.lost(self, exc)


class Tunnel:
    """Joins a client's transport and an instance's. Bytes that move in either direction keep it alive.

    Give `client` and `instance` to the two transports as their protocols, `join`, then `await run()`.
    """

    def __init__(self, idle_s: float) -> None:
        self.client = End(self)
        self.instance = End(self)
        self.idled_out = False
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._moved_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._over: asyncio.Future[None] = self._loop.create_future()

    def join(
        self,
        client: tuple[asyncio.BaseTransport, bytes],
        instance: tuple[asyncio.BaseTransport, bytes],
    ) -> None:
        """The two transports, each with the bytes that its end has said already. Call it in the same turn
        in which they got their new protocols: what comes earlier has nowhere to go."""
        self.client.transport = cast(asyncio.Transport, client[0])
        self.instance.transport = cast(asyncio.Transport, instance[0])
        for end, (_, early) in ((self.client, client), (self.instance, instance)):
            if early:
                end.data_received(early)

    async def run(self) -> None:
        """Carries bytes until both ends are closed; being cancelled closes them."""
        try:
            self._watch()
            await self._over
        except asyncio.CancelledError:
            if self.client.lost:
                # The end of a client ends whoever serves it; what it said last may still be on its way.
                await asyncio.wait([self._over], timeout=LAST_WORDS_S)
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self.abort()

    def abort(self) -> None:
        """Closes both ends at once."""
        for end in (self.client, self.instance):
            if end.transport is not None and not end.lost:
                end.transport.abort()

    # --- what the ends tell ----------------------------------------------------------------------

    def alive(self) -> None:
        self._moved_at = self._loop.time()

    def said_goodbye(self, end: End) -> None:
        self.alive()
        both = self.client.finished and self.instance.finished
        for one in (self.client, self.instance) if both else (end.other,):
            transport = one.transport
            if transport is None or transport.is_closing():
                continue
            # Closing sends what is still waiting to be sent.
            if both or not transport.can_write_eof():
                transport.close()
            else:
                transport.write_eof()

    def lost(self, end: End, error: Exception | None) -> None:
        other = end.other
        if other.transport is not None and not other.lost:
            if error is None:
                other.transport.close()
            else:
                other.transport.abort()
        if (end.other.lost or other.transport is None) and not self._over.done():
            self._over.set_result(None)

    def _watch(self) -> None:
        """Closes a tunnel in which nothing moves. The timer looks once per idle time, not per message."""
        left = self._moved_at + self._idle_s - self._loop.time()
        if self._idle_s == inf or self._over.done():
            return
        if left > 0:
            self._timer = self._loop.call_later(left, self._watch)
            return
        self.idled_out = True
        self.abort()

    def __repr__(self) -> str:
        return f"<Tunnel: {self.client.carried} bytes in, {self.instance.carried} bytes out>"
