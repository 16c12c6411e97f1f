"""A client's request body: read whole where it is small, streamed where it is not.

Rules of this file: every read has a deadline, and no more than the limit is ever taken in.
"""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from gateway.answer_head import HTTP_1_1
from gateway.errors import GatewayError, Reason, gateway_error
from gateway.runtime.client_request import ClientRequest

WHOLE_S = 30.0
"""A body that is read whole must be there by then, however steadily it drips."""


class BodyTooLarge(Exception):
    """More came than the route takes."""


class BodyStalled(Exception):
    """The client stopped in the middle of its body."""


class ClientBody:
    """The body of one request, at most `limit` bytes. Iterating yields it in pieces, once."""

    def __init__(self, request: ClientRequest, limit: int) -> None:
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

    def begin(self) -> None:
        """Lets a client go on that waits to be told so. Call it after everything that could refuse.

        A client of HTTP/1.0 would take it for its answer (RFC 9110, 10.1.1).
        """
        request = self._request
        if request.body_exists and request.version >= HTTP_1_1 and "Expect" in request.headers:
            request.continue_100()

    def is_within(self, size: int) -> bool:
        """Whether its announced length is no more than that: then it can be kept, and sent again."""
        length = self._request.content_length if self._request.body_exists else 0
        return length is not None and length <= size

    async def whole(self) -> bytes | GatewayError:
        """All of it, or why not."""
        if not self._request.body_exists:
            return b""
        body = self._request.body
        if body.is_eof() and body.exception() is None and body.total_bytes <= self._limit:
            return body.read_nowait()
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
                async with asyncio.timeout(self._request.body_idle_s):
                    piece = await self._request.body.readany()
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
