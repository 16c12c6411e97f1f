"""A client's request body: read whole where it is small, streamed where it is not.

Rules of this file: every read has a deadline, and no more than the limit is ever taken in.
"""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import HttpVersion11, web

from gateway.errors import GatewayError, Reason, gateway_error
from gateway.runtime.http_server import continue_100

IDLE_S = 10.0
"""A client that sends nothing of its body for so long gets 408."""

WHOLE_S = 30.0
"""A body that is read whole must be there by then, however steadily it drips."""

REPLAY_BYTES = 64 * 1024
"""Bodies up to this size are kept for the call's time, so that the call can be tried again."""


class BodyTooLarge(Exception):
    """More came than the route takes."""


class BodyStalled(Exception):
    """The client stopped in the middle of its body."""


class ClientBody:
    """The body of one request, at most `limit` bytes. Iterating yields it in pieces, once."""

    def __init__(self, request: web.BaseRequest, limit: int) -> None:
        self._request = request
        self._limit = limit
        self.fault: BodyTooLarge | BodyStalled | None = None

    def refusal(self) -> GatewayError | None:
        """Why the body will not even be read, judged by its headers."""
        expect = self._request.headers.get("Expect")
        if expect is not None and expect.lower() != "100-continue":
            return gateway_error(Reason.BAD_EXPECTATION)
        if (self._request.content_length or 0) > self._limit:
            return gateway_error(Reason.BODY_TOO_LARGE)
        return None

    async def begin(self) -> None:
        """Lets a client go on that waits to be told so. Call it after everything that could refuse.

        A client of HTTP/1.0 would take it for its answer (RFC 9110, 10.1.1).
        """
        waits = self._request.headers.get("Expect") and self._request.version >= HttpVersion11
        if waits and self._request.body_exists:
            await continue_100(self._request)

    @property
    def is_small(self) -> bool:
        """Whether its announced length is short enough to keep."""
        length = self._request.content_length
        return not self._request.body_exists or (length is not None and length <= REPLAY_BYTES)

    async def whole(self) -> bytes | GatewayError:
        """All of it, or why not."""
        if not self._request.body_exists:
            return b""
        try:
            async with asyncio.timeout(WHOLE_S):
                return b"".join([piece async for piece in self])
        except TimeoutError:
            return gateway_error(Reason.REQUEST_TIMEOUT)
        except BodyTooLarge:
            return gateway_error(Reason.BODY_TOO_LARGE)
        except BodyStalled:
            return gateway_error(Reason.REQUEST_TIMEOUT)
        except web.RequestPayloadError:
            return gateway_error(Reason.BAD_REQUEST)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        taken = 0
        while True:
            try:
                async with asyncio.timeout(IDLE_S):
                    piece = await self._request.content.readany()
            except TimeoutError:
                self.fault = BodyStalled()
                raise self.fault from None
            if not piece:
                return
            taken += len(piece)
            if taken > self._limit:
                self.fault = BodyTooLarge()
                raise self.fault
            yield piece

    def error(self) -> GatewayError | None:
        """The client's own fault in a body that was streamed, if that is what ended the call."""
        match self.fault:
            case BodyTooLarge():
                return gateway_error(Reason.BODY_TOO_LARGE)
            case BodyStalled():
                return gateway_error(Reason.REQUEST_TIMEOUT)
            case None:
                return None
