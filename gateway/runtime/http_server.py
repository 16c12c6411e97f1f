"""aiohttp's low-level server, with our own answers for what it refuses by itself.

Everything that is private in aiohttp is touched in this file; test_http_server.py tells when a new
aiohttp changes it. `web.Application` and its middlewares are not used: dispatch is ours.
"""

import asyncio
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler

KEEPALIVE_S = 75.0
"""Also aiohttp's only deadline for a request's headers; its default is over an hour."""

LINGERING_S = 2.0
"""How long the rest of a refused body is read before the connection is closed."""

RESET_AT_CLOSE = struct.pack("ii", 1, 0)
"""`struct linger`: on, zero seconds."""

_METHOD_QUOTED = re.compile(r"b['\"][!-\[\]-~]+ ")
"""aiohttp's text quotes what it could not read. Only a word before a space was meant as a method: a TLS
hello and other bytes were not."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Refuse = Callable[[str], web.StreamResponse]
"""A reason of gateway.errors -> the answer to bytes that are no request."""


class PlainResponse(web.StreamResponse):
    """An answer whose head goes out as it was given: no `Server`, no `Content-Type` made up."""

    async def _prepare_headers(self) -> None:
        request = self._req
        if request is not None and request.version not in (HttpVersion10, HttpVersion11):
            # aiohttp's status line repeats the version it was asked in, spoken here or not.
            request._cache["version"] = HttpVersion11
        typed = hdrs.CONTENT_TYPE in self.headers
        await super()._prepare_headers()
        self.headers.pop(hdrs.SERVER, None)
        if not typed:
            self.headers.pop(hdrs.CONTENT_TYPE, None)


class WholeResponse(PlainResponse, web.Response):
    """The same with its body, for the places where aiohttp itself does the writing."""


class _Connection(RequestHandler):
    """One client connection. aiohttp would answer bad bytes with their text and log a traceback each."""

    __slots__ = ("_refuse",)

    def __init__(self, manager: "HttpServer", *, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(manager, loop=loop, **options)
        self._refuse = manager.refuse

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  aiohttp's signature; its texts repeat raw input
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionResetError("a part of another answer is out already")
        answer = self._refuse(_reason(status, exc))
        answer.force_close()
        return answer


def _reason(status: int, error: BaseException | None) -> str:
    if status >= 500:
        return "internal_error"
    if isinstance(error, LineTooLong):
        return "headers_too_large"
    if isinstance(error, BadHttpMethod) and _METHOD_QUOTED.search(error.message):
        return "bad_method"
    return "bad_request" if isinstance(error, HttpProcessingError) or status == 400 else "internal_error"


class HttpServer(web.Server):
    """A server factory for one listening socket. `refuse` makes the answer to what is no request."""

    def __init__(self, handler: Handler, refuse: Refuse) -> None:
        # A client that hangs up cancels its handler, which releases its lease upstream at once.
        super().__init__(handler, handler_cancellation=True)
        self.refuse = refuse

    def __call__(self) -> RequestHandler:
        return _Connection(
            self,
            loop=self._loop,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGERING_S,
            access_log=None,
            auto_decompress=False,
        )


def cut_off(request: web.BaseRequest) -> None:
    """Ends the connection so that what was sent of an answer can't look complete.

    By a reset: an answer to HTTP/1.0 without a length ends where its connection ends.
    """
    if request.transport is None:
        return
    connection = request.transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    request.transport.abort()


async def continue_100(request: web.BaseRequest) -> None:
    """Tells a client that waits with its body (`Expect: 100-continue`) to send it."""
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # What follows is the first byte of the answer itself.
    request.writer.output_size = 0
