"""One connection to one instance: one request at a time, its deadlines, and flow control both ways.

It says what happened and decides nothing: whoever uses it reads `fault`, and the pool keeps or drops it.
There is one deadline at a time: sending (renewed by every piece of a body that moves), waiting for the
answer, reading (only while somebody reads); what is left of the whole call cuts all of them. The timer
behind it is armed about once per `first_byte_s` and not per request: it looks at the deadline when it
fires, which costs nothing while answers are quick.
"""

import asyncio
import errno
import select
from collections.abc import AsyncIterable, Callable
from math import inf
from typing import cast

from balancer.model import Timeouts, UpstreamBroke, UpstreamFailed
from balancer.outcome import Kind, Outcome, Phase, Side
from balancer.runtime.wire import LAST_CHUNK, AnswerHead, AnswerReader, BadAnswer, CutShort, chunk

READ_SIZE = 64 * 1024
HELD = 64 * 1024
"""Bytes of an answer that wait here for a slow reader before the instance is no longer read."""
_SEND, _WAIT, _BODY = Phase.SEND, Phase.WAIT, Phase.BODY
# Looking up a member of an enumeration costs as much as a call.
_EARLY_S = 0.002
"""uvloop's clock has whole milliseconds: a timer may fire that much before its time."""


class ClientBodyLength(Exception):
    """The client's stream is shorter or longer than it had declared."""


class Connection(asyncio.BufferedProtocol):
    """`buffer` is where bytes are read into; it may be shared, for it is never kept between two calls.

    `on_closed` is called once, when the connection has ended.
    """

    __slots__ = (
        "_awaits_client",
        "_buffer",
        "_busy",
        "_deadline",
        "_drained",
        "_fd",
        "_loop",
        "_read_paused",
        "_sent_all",
        "_timeouts",
        "_timer",
        "_timer_at",
        "_total_at",
        "_transport",
        "_waiter",
        "_write_paused",
        "answers",
        "closed",
        "fault",
        "idle_since",
        "on_closed",
        "phase",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, buffer: memoryview) -> None:
        self._loop = loop
        self._buffer = buffer
        self._transport: asyncio.Transport
        self._fd = -1
        self._busy = False
        self._timeouts = Timeouts()
        self._total_at = inf
        self._deadline = inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._write_paused = False
        self._read_paused = False
        self._sent_all = True
        self._awaits_client = False
        self.answers = AnswerReader()
        self.closed = False
        self.idle_since = 0.0
        self.on_closed: Callable[[Connection], None] | None = None
        self.phase = Phase.CONNECT
        self.fault: Outcome | None = None

    # --- one call --------------------------------------------------------------------------------

    def begin(
        self,
        head: bytes,
        method: str,
        timeouts: Timeouts,
        now: float,
        total_at: float,
        *,
        body_follows: bool = False,
        switch: bool = False,
    ) -> None:
        """Writes a request: all of it, or its head when `upload` is to follow.

        `now`, and `total_at` when the whole call is over, are the loop's time. `switch`: it may be 101.
        """
        self._busy = True
        self._timeouts = timeouts
        self._total_at = total_at
        self._sent_all = not body_follows
        self._awaits_client = False
        self.answers.expect(method, switch=switch)
        self.fault = None
        if self.closed or self._transport.is_closing():
            self.phase = Phase.SEND
            self.fault = Outcome(Phase.SEND, Side.INSTANCE, Kind.RESET, sent=False, detail="closed")
            return
        self.phase = _SEND if body_follows else _WAIT
        self._transport.write(head)
        self._limit(timeouts.idle_s if body_follows else timeouts.first_byte_s, now)

    async def upload(self, body: AsyncIterable[bytes], declared: int | None) -> None:
        """Sends the request's body; `declared` is its length, `None` sends it chunked.

        The client's faults end the call like the instance's; the answer's reader is told of them.
        """
        left = declared
        try:
            self._wait_for_client()
            async for piece in body:
                if self.closed:
                    return
                if left is not None:
                    left -= len(piece)
                if left is not None and left < 0:
                    raise ClientBodyLength
                if piece:
                    self._transport.write(piece if declared is not None else chunk(piece))
                    await self._drain()
                self._wait_for_client()
            # Bytes too few would make the next request a part of this one.
            if left:
                raise ClientBodyLength
        except Exception as error:  # noqa: BLE001  whatever the client's stream raises is the client's
            self.fail(Side.CLIENT, Kind.RESET, type(error).__name__)
            return
        if not self.closed:
            self._uploaded(chunked=declared is None)

    async def answer(self) -> AnswerHead:
        """The head of the answer. Raises `UpstreamFailed`, also for a body that broke by then."""
        answers = self.answers
        if self.fault is None and answers.head is None:
            # As `_news`, which would cost every call a coroutine.
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self.fault is not None:
            raise UpstreamFailed(self.fault)
        assert answers.head is not None
        self._deadline = inf
        self.phase = _BODY
        return answers.head

    async def read(self) -> bytes:
        """What there is of the answer's body; empty at its end. Raises `UpstreamBroke`."""
        answers = self.answers
        # Bytes may come that hold nothing of the body: a part of a chunk's size, of the trailers.
        while not answers.pieces and not answers.ended and self.fault is None:
            self._limit(self._timeouts.idle_s)
            await self._news()
            self._deadline = inf
        if answers.pieces:
            piece = answers.pieces.popleft()
            answers.buffered -= len(piece)
            if self._read_paused and answers.buffered < HELD:
                self._read_paused = False
                self._transport.resume_reading()
            return piece
        if answers.ended:
            return b""
        assert self.fault is not None
        raise UpstreamBroke(self.fault)

    def end(self, now: float) -> bool:
        """The call is over. False when the connection can't carry another: then it is closed."""
        self._busy = False
        self._deadline = inf
        self.idle_since = now
        if (
            self.answers.ended
            and self.answers.keep_alive
            and self._sent_all
            and not self.closed
            and not self._read_paused
            and self._transport.get_write_buffer_size() == 0
        ):
            return True
        self.abort()
        return False

    def fail(self, side: Side, kind: Kind, detail: str = "") -> None:
        """Ends the call by that fault, unless its answer is whole already."""
        if self.fault is None and not self.answers.ended:
            self.fault = Outcome(self.phase, side, kind, sent=True, detail=detail)
        self.abort()
        self._wake()

    def abort(self) -> None:
        """Closes at once, and lets go of what was not sent."""
        if not self.closed:
            self._transport.abort()

    def hung_up(self) -> bool:
        """Whether the other side has ended an idle connection, or spoken unasked, just now: the loop may
        not have told us yet."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN | select.POLLRDHUP)
        return bool(poll.poll(0))

    def take_over(self, protocol: asyncio.BaseProtocol) -> tuple[asyncio.Transport, bytes]:
        """After a 101: hands the transport to `protocol`, with what came behind the answer's head.

        Whoever takes it calls `connection_lost` of this object when the transport has ended.
        """
        self._busy = False
        self._deadline = inf
        if self.closed:
            # Its new owner hears of the end as of any other.
            self._loop.call_soon(protocol.connection_lost, ConnectionResetError("closed"))
        self._transport.set_protocol(protocol)
        return self._transport, self.answers.leftover

    # --- deadlines and waiting -------------------------------------------------------------------

    def _limit(self, limit_s: float, now: float | None = None) -> None:
        at = (self._loop.time() if now is None else now) + limit_s
        if at > self._total_at:
            at = self._total_at
        self._deadline = at
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._arm(at)

    def _arm(self, at: float) -> None:
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, inf
        deadline = self._deadline
        if deadline == inf:
            return
        if self._loop.time() + _EARLY_S < deadline:
            self._arm(deadline)
        elif deadline == self._total_at:
            # The deadline of the whole call says nothing of anybody.
            self.fail(Side.GATEWAY, Kind.TIMEOUT)
        else:
            self.fail(Side.CLIENT if self._awaits_client else Side.INSTANCE, Kind.TIMEOUT)

    def _wait_for_client(self) -> None:
        # An instance may answer while the body is still on its way: then the reader's deadlines hold.
        if self.phase is _SEND:
            self._awaits_client = True
            self._limit(self._timeouts.idle_s)

    def _uploaded(self, *, chunked: bool) -> None:
        if chunked:
            self._transport.write(LAST_CHUNK)
        self._sent_all = True
        self._awaits_client = False
        if self.phase is _SEND:
            self.phase = _WAIT
            self._limit(self._timeouts.first_byte_s)

    async def _drain(self) -> None:
        self._awaits_client = False
        if self._write_paused and not self.closed:
            if self.phase is _SEND:
                self._limit(self._timeouts.idle_s)
            self._drained = self._loop.create_future()
            try:
                await self._drained
            finally:
                self._drained = None

    async def _news(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- what the event loop calls ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._fd = transport.get_extra_info("socket").fileno()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  asyncio's signature
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self._busy or self.answers.ended:
            # Nobody asked: what is said here must not be taken for the answer to the next request.
            self.answers.keep_alive = False
            self.abort()
            return
        answers = self.answers
        try:
            answers.feed(self._buffer[:nbytes])
        except BadAnswer as bad:
            self.fail(Side.INSTANCE, Kind.GARBAGE, str(bad))
            return
        if answers.head is None:
            return
        if self._waiter is not None:
            # Whoever waits takes this piece at once: no reason yet to stop the next one.
            self._wake()
        elif answers.buffered > HELD and not answers.ended and not self._read_paused:
            self._read_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """Only here may an answer end by the end of its connection: whatever else ends it is a fault."""
        if not self._busy or self.fault is not None:
            return
        try:
            self.answers.eof()
        except CutShort:
            self.fail(Side.INSTANCE, Kind.RESET, "closed")
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._busy:
            number = getattr(exc, "errno", None)
            self.fail(
                Side.INSTANCE, Kind.RESET, errno.errorcode.get(number, "closed") if number else "closed"
            )
        self.resume_writing()
        if self.on_closed is not None:
            self.on_closed(self)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def __repr__(self) -> str:
        state = "closed" if self.closed else str(self.phase) if self._busy else "idle"
        return f"<Connection: {state}>"
