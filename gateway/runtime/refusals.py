"""Answers to what is no request, or is not looked at: as cheap as they can be, and in the one shape."""

from collections.abc import Callable
from functools import partial

import structlog

from gateway.answer_head import HTTP_1_1, whole_answer
from gateway.errors import GatewayError, Reason, gateway_error
from gateway.request_ids import RequestIds
from gateway.runtime.client_request import ClientRequest
from gateway.runtime.exchange import Exchange
from gateway.runtime.metrics import Metrics
from gateway.runtime.reply import Reply, error_reply

log = structlog.get_logger()

OVERLOADED = gateway_error(Reason.OVERLOADED)
ID_HERE = "#" * 32
"""As long as a request id of ours, for which it stands."""
MAX_REPEATED = 2048
"""Bytes of a request whose answer is made ready; its connection keeps them."""
SAY_EVERY_S = 10.0
"""Between two lines of the log about refusals that had none of their own."""


class RepeatedRefusal:
    """A `Repeat` of a 429."""

    __slots__ = ("_about", "_answer", "_make", "_refusals", "_request_id", "request", "until")

    def __init__(
        self,
        request: bytes,
        until: float,
        make: Callable[[], bytes],
        request_id: bytes,
        about: tuple[str, str, int, str],
        refusals: "Refusals",
    ) -> None:
        self.request = request
        self.until = until
        self._make = make
        """The answer. Who never asks the same again costs no second one."""
        self._answer = b""
        self._request_id = request_id
        """The one in the answer, if others must be put in its place."""
        self._about = about
        self._refusals = refusals

    def again(self) -> bytes:
        request_id = self._refusals.refused_again(self._about)
        if not self._answer:
            self._answer = self._make()
        if not self._request_id:
            return self._answer
        return self._answer.replace(self._request_id, request_id.encode())


class Refusals:
    """Counts what it refuses; there is no line in the log for any of it."""

    def __init__(
        self,
        ids: RequestIds,
        metrics: Metrics,
        clock: Callable[[], float],
        unix_clock: Callable[[], float],
    ) -> None:
        self._ids = ids
        self._metrics = metrics
        self._clock = clock
        self._unix_clock = unix_clock
        self._said_at = -SAY_EVERY_S
        self._unsaid = 0
        self._turned_away = (0, b"")
        """The second it was made in, and the answer."""

    def turn_away(self, request: ClientRequest) -> None:
        """Answers a request that is not looked at, as there are too many."""
        self._metrics.refused(Reason.OVERLOADED)
        request_id = self._ids.next()
        reply = error_reply(OVERLOADED, request_id)
        request.send(reply.status, (*reply.headers, ("X-Request-Id", request_id)), reply.body)

    def turned_away(self) -> bytes:
        """The same, to a GET whose connection stays: made once a second but for its id."""
        self._metrics.refused(Reason.OVERLOADED)
        second = int(self._unix_clock())
        if self._turned_away[0] != second:
            self._turned_away = second, self._whole(OVERLOADED, ID_HERE, second, keep_alive=True)
        return self._turned_away[1].replace(ID_HERE.encode(), self._ids.next().encode())

    def refuse(self, reason: str) -> bytes:
        """The answer to bytes that are no request, and to a connection too many; it ends the connection."""
        error = gateway_error(Reason(reason))
        self._metrics.refused(error.reason)
        return self._whole(error, self._ids.next(), int(self._unix_clock()), keep_alive=False)

    def prepare(self, exchange: Exchange, reply: Reply) -> None:
        """Makes ready what this request gets if it comes again at once, as from somebody who calls too often.

        Until the second is over, which the answer's headers hold for, and at most as long as it is sure to be
        refused. Only for a request that is over with its head, and whose bytes can be told from it.
        """
        request, now = exchange.request, self._unix_clock()
        if request.body_exists or request.version != HTTP_1_1 or not request.keep_alive or exchange.span:
            return
        line = f"{request.method} {request.target} HTTP/1.1".encode()
        again = b"\r\n".join((line, *map(b": ".join, request.raw_headers), b"", b""))
        if len(again) > MAX_REPEATED or exchange.head.expects or exchange.head.upgrades:
            return
        own, second = exchange.answer_headers(reply.headers), int(now)
        method, status, body = request.method, reply.status, reply.body
        make = partial(whole_answer, method, HTTP_1_1, status, own, body, keep_alive=True, second=second)
        until = self._clock() + min(exchange.refused_for_s, 1 - now % 1)
        # A client's own id is the same again, as all that it sends.
        request_id = b"" if exchange.head.request_id else exchange.request_id.encode()
        about = (exchange.route, method, status, exchange.refused_by)
        request.prepare_repeat(RepeatedRefusal(again, until, make, request_id, about, self))

    def refused_again(self, about: tuple[str, str, int, str]) -> str:
        """Counts a refusal that was made ready before, and gives it an id."""
        route, method, status, limit = about
        self._metrics.answered(route, method, status, 0.0)
        self._metrics.refused(Reason.RATE_LIMITED)
        self._metrics.rate_limited(limit)
        self._unsaid += 1
        now = self._clock()
        if now - self._said_at >= SAY_EVERY_S:
            log.warning("rate_limited", unlogged=self._unsaid)
            self._said_at, self._unsaid = now, 0
        return self._ids.next()

    def _whole(self, error: GatewayError, request_id: str, second: int, *, keep_alive: bool) -> bytes:
        reply = error_reply(error, request_id)
        own = (*reply.headers, ("X-Request-Id", request_id))
        return whole_answer(
            "GET", HTTP_1_1, reply.status, own, reply.body, keep_alive=keep_alive, second=second
        )
