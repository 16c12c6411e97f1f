"""How far one try has got, and the deadline that goes with it.

One deadline at a time: connecting, then sending (renewed by every chunk), then waiting for the first
byte, then reading (renewed by every chunk); what is left of the whole call cuts all of them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from balancer.headers import values_of
from balancer.model import OutboundRequest, Timeouts
from balancer.outcome import Phase, Side

SLICE = 1 << 16
"""A body in memory is sent in pieces of that size, so that a stuck instance shows as no progress."""


class Progress:
    """The state of one try. Made inside the running loop, when the try begins."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._total_at = self._loop.time() + timeouts.total_s
        self._timer: asyncio.Timeout | None = None
        self._total_cuts = False
        self.phase = Phase.CONNECT
        self.sent = False
        """Set just before the first byte is written: from then on, whether it arrived is not known."""
        self.has_body = False
        self.awaits_client = False
        """What is being waited for is the client's next bytes, not the instance."""
        self.client_fault: Exception | None = None
        """What the client's body stream raised."""

    @property
    def late_side(self) -> Side:
        """Whose the deadline was that has just passed. The whole call's says nothing of anybody."""
        if self._total_cuts:
            return Side.GATEWAY
        return Side.CLIENT if self.awaits_client else Side.INSTANCE

    @asynccontextmanager
    async def until_answer(self) -> AsyncIterator[None]:
        """From connecting to the head of the answer. Raises `TimeoutError` when a deadline passes."""
        async with asyncio.timeout_at(self._until(self._timeouts.connect_s)) as timer:
            self._timer = timer
            try:
                yield
            finally:
                self._timer = None
        self.phase = Phase.BODY
        self.awaits_client = False

    def one_read(self) -> asyncio.Timeout:
        """One read of the answer's body. Time in which nobody reads does not count."""
        return asyncio.timeout_at(self._until(self._timeouts.idle_s))

    def connected(self) -> None:
        self.sent = True
        if self.has_body:
            self.moved()
        else:
            self.uploaded()

    def moved(self) -> None:
        """Bytes of the request's body came in from the client or went out to the instance."""
        self._enter(Phase.SEND, self._timeouts.idle_s)

    def uploaded(self) -> None:
        self._enter(Phase.WAIT, self._timeouts.first_byte_s)

    def _enter(self, phase: Phase, limit_s: float) -> None:
        # An instance may answer while the body is still on its way: then the reads' deadlines hold.
        if self._timer is not None and not self._timer.expired():
            self.phase = phase
            self._timer.reschedule(self._until(limit_s))

    def _until(self, limit_s: float) -> float:
        limit_at = self._loop.time() + limit_s
        self._total_cuts = self._total_at <= limit_at
        return min(limit_at, self._total_at)


class ClientBodyLength(Exception):
    """The client's stream is shorter or longer than it had declared."""


class Upload:
    """A request's body on its way out, watched: who is being waited for, and how much has gone."""

    def __init__(self, source: AsyncIterator[bytes], declared: int | None, progress: Progress) -> None:
        self._source = source
        self._left = declared
        self._progress = progress
        progress.has_body = True

    @classmethod
    def of(cls, request: OutboundRequest, progress: Progress) -> "Upload | None":
        """`None` for a request without a body."""
        if isinstance(request.body, bytes):
            return cls(_Slices(request.body), len(request.body), progress) if request.body else None
        declared = values_of(request.headers, b"content-length")
        return cls(aiter(request.body), int(declared[0]) if declared else None, progress)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        progress = self._progress
        progress.moved()
        progress.awaits_client = True
        try:
            chunk = await self._next()
        except StopAsyncIteration:
            progress.awaits_client = False
            progress.uploaded()
            raise
        except Exception as error:
            progress.client_fault = error
            raise
        progress.awaits_client = False
        progress.moved()
        return chunk

    async def _next(self) -> bytes:
        """Bytes too few or too many would be taken for a part of the next request on the connection."""
        try:
            chunk = await anext(self._source)
        except StopAsyncIteration:
            if self._left:
                raise ClientBodyLength from None
            raise
        if self._left is not None:
            self._left -= len(chunk)
            if self._left < 0:
                raise ClientBodyLength
        return chunk


class _Slices:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._at >= len(self._body):
            raise StopAsyncIteration
        piece = self._body[self._at : self._at + SLICE]
        self._at += SLICE
        return piece
