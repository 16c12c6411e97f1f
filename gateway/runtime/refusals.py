"""Answers to what is no request, or is not looked at: as cheap as they can be, and in the one shape."""

from collections.abc import Callable

from gateway.answer_head import HTTP_1_1, whole_answer
from gateway.errors import GatewayError, Reason, gateway_error
from gateway.request_ids import RequestIds
from gateway.runtime.client_request import ClientRequest
from gateway.runtime.metrics import Metrics
from gateway.runtime.reply import error_reply

OVERLOADED = gateway_error(Reason.OVERLOADED)
ID_HERE = "#" * 32
"""As long as a request id of ours, for which it stands."""


class Refusals:
    """Counts what it refuses; there is no line in the log for any of it."""

    def __init__(self, ids: RequestIds, metrics: Metrics, unix_clock: Callable[[], float]) -> None:
        self._ids = ids
        self._metrics = metrics
        self._unix_clock = unix_clock
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

    def _whole(self, error: GatewayError, request_id: str, second: int, *, keep_alive: bool) -> bytes:
        reply = error_reply(error, request_id)
        own = (*reply.headers, ("X-Request-Id", request_id))
        return whole_answer(
            "GET", HTTP_1_1, reply.status, own, reply.body, keep_alive=keep_alive, second=second
        )
