"""A client's request body: read whole where it is small, streamed where it is not.

Rules of this file: every read has a deadline, and no more than the limit is ever taken in.
"""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import hdrs, web

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
        self._expect = request.headers.get(hdrs.EXPECT)
        self._length = request.content_length if request.body_exists else 0
        """As announced; `None` where only its end will tell."""
        self.fault: BodyTooLarge | BodyStalled | None = None

    def refusal(self) -> GatewayError | None:
        """Why the body will not even be read, judged by its headers."""
        if self._expect is not None and self._expect.lower() != "100-continue":
            return gateway_error(Reason.BAD_EXPECTATION)
        if self._length is not None and self._length > self._limit:
            return _error_of(self._give_up(BodyTooLarge()))
        return None

    def begin(self) -> None:
        """Lets a client go on that waits to be told so. Call it after everything that could refuse.

        A client of HTTP/1.0 would take it for its answer (RFC 9110, 10.1.1).
        """
        request = self._request
        if self._expect is not None and request.body_exists and request.version >= HTTP_1_1:
            request.continue_100()

    def is_within(self, size: int) -> bool:
        """Whether its announced length is no more than that: then it can be kept, and sent again."""
        return self._length is not None and self._length <= size

    async def whole(self) -> bytes | GatewayError:
        """All of it, or why not."""
        if not self._request.body_exists:
            return b""
        body = self._request.body
        if body.is_eof() and body.exception() is None and body.total_bytes <= self._limit:
            self._request.bytes_in = body.total_bytes
            return body.read_nowait()
        try:
            async with asyncio.timeout(WHOLE_S):
                return b"".join([piece async for piece in self])
        except TimeoutError:
            return _error_of(self._give_up(BodyStalled()))
        except (BodyTooLarge, BodyStalled) as fault:
            return _error_of(fault)
        except web.RequestPayloadError:
            return gateway_error(Reason.BAD_REQUEST)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        taken = 0
        while True:
            try:
                async with asyncio.timeout(self._request.body_idle_s):
                    piece = await self._request.body.readany()
            except TimeoutError:
                raise self._give_up(BodyStalled()) from None
            if not piece:
                return
            taken += len(piece)
            self._request.bytes_in = taken
            if taken > self._limit:
                raise self._give_up(BodyTooLarge())
            yield piece

    def error(self) -> GatewayError | None:
        """The client's own fault in a body that was streamed, if that is what ended the call."""
        return None if self.fault is None else _error_of(self.fault)

    def _give_up(self, fault: BodyTooLarge | BodyStalled) -> BodyTooLarge | BodyStalled:
        """The rest is not waited for, so no request can follow it: the answer has to say so."""
        self.fault, self._request.keep_alive = fault, False
        return fault


def _error_of(fault: BodyTooLarge | BodyStalled) -> GatewayError:
    too_large = isinstance(fault, BodyTooLarge)
    return gateway_error(Reason.BODY_TOO_LARGE if too_large else Reason.REQUEST_TIMEOUT)
