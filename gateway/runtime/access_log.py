"""One line per request, when it has ended: for machines as JSON, for people as text.

Rules of this file: no query (tokens stand in there), no header values, control characters escaped.
Lines are gathered and written together a few times a second, and never by waiting for whoever reads them.
"""

import asyncio
import os
import select
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import BinaryIO

import orjson

from gateway.runtime.exchange import Exchange
from gateway.runtime.reply import now_iso

FLUSH_AFTER_S = 0.2
MAX_WAITING = 1 << 20
"""Bytes of lines that wait to be written; above that, lines are dropped and counted."""


class AccessLog:
    """Writes to `stream`; nowhere at all when that is `None`."""

    def __init__(
        self, stream: BinaryIO | None, *, as_json: bool = True, flush_after_s: float = FLUSH_AFTER_S
    ) -> None:
        self._stream = stream
        self._format: Callable[[Exchange, int, float], bytes] = _json_line if as_json else _text_line
        self._flush_after_s = flush_after_s
        self._waiting = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self.dropped = 0

    def follow(self, stream: BinaryIO | None) -> None:
        """Writes there from here on."""
        self.flush()
        self._stream = stream

    def write(self, exchange: Exchange, status: int, seconds: float) -> None:
        if self._stream is None:
            return
        if len(self._waiting) > MAX_WAITING:
            self.dropped += 1
            return
        self._waiting += self._format(exchange, status, seconds)
        if self._timer is None:
            self._start_timer()

    def flush(self, patience_s: float = 0.0) -> None:
        """Writes what the stream takes, waiting for it at most `patience_s` at a time; the rest stays.

        A log that can't be written must not fail requests nor keep them waiting: its lines are counted.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stream is None or not self._waiting:
            return
        try:
            self._write_to(self._stream, patience_s)
        except (OSError, ValueError):
            self.dropped += self._waiting.count(b"\n")
            self._waiting.clear()
        if self._waiting:
            self._start_timer()

    def _write_to(self, stream: BinaryIO, patience_s: float) -> None:
        """A pipe that nobody reads is full after 64 KiB, and writing to it waits without an end. What
        poll says is writable takes PIPE_BUF bytes without waiting."""
        try:
            descriptor = stream.fileno()
        except OSError:  # not a file
            stream.write(self._waiting)
            self._waiting.clear()
            return
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        while self._waiting and poll.poll(patience_s * 1000):
            taken = os.write(descriptor, self._waiting[: select.PIPE_BUF])
            del self._waiting[:taken]

    def _start_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._flush_after_s, self.flush)


def _json_line(exchange: Exchange, status: int, seconds: float) -> bytes:
    user = exchange.user
    own: dict[str, object] = {
        "timestamp": datetime.now(UTC),
        "request_id": exchange.request_id,
        "duration_ms": int(seconds * 1e6) / 1000,
    }
    if exchange.decision:
        own["decision"] = exchange.decision
    shared = _shared_part(
        exchange.request.method,
        exchange.target.path,
        exchange.route,
        status,
        exchange.reason,
        exchange.client.address,
        None if user is None else user.id,
        exchange.service,
        exchange.instance,
        exchange.attempts,
    )
    return b"%b,%b" % (orjson.dumps(own, option=orjson.OPT_UTC_Z)[:-1], shared)


@lru_cache(maxsize=1024)
def _shared_part(
    method: str,
    path: str,
    route: str,
    status: int,
    reason: str | None,
    client: str,
    user: str | None,
    service: str | None,
    instance: str | None,
    attempts: int,
) -> bytes:
    """The rest of the line and its end. Remembered: most clients ask for the same again."""
    rest = {
        "level": "info",
        "event": "request",
        "method": method,
        "path": path,
        "route": route,
        "status": status,
        "reason": reason,
        "client": client,
        "user": user,
        "service": service,
        "instance": instance,
        "attempts": attempts,
    }
    return orjson.dumps(rest, option=orjson.OPT_APPEND_NEWLINE)[1:]


def _text_line(exchange: Exchange, status: int, seconds: float) -> bytes:
    where = f" -> {exchange.instance}" if exchange.instance else ""
    where += f" (decision {exchange.decision})" if exchange.decision else ""
    why = f" ({exchange.reason})" if exchange.reason else ""
    again = f" in {exchange.attempts} tries" if exchange.attempts > 1 else ""
    method, path = exchange.request.method, exchange.target.path
    return (
        f"{now_iso()[11:23]} {method} {path} {status}{why} {seconds * 1000:.1f} ms{where}{again}\n".encode()
    )
