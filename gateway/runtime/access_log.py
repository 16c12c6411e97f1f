"""One line per request, when it has ended: for machines as JSON, for people as text.

Rules of this file: no query (tokens stand in there), no header values, control characters escaped.
Lines are gathered and written together, so that a slow pipe is met a few times a second at most.
"""

import asyncio
from collections.abc import Callable
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
        self._lines: list[bytes] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self.dropped = 0

    def write(self, exchange: Exchange, status: int, seconds: float) -> None:
        if self._stream is None:
            return
        if self._size > MAX_WAITING:
            self.dropped += 1
            return
        line = self._format(exchange, status, seconds)
        self._lines.append(line)
        self._size += len(line)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._flush_after_s, self.flush)

    def flush(self) -> None:
        """Writes what waits. A log that can't be written must not fail requests: the lines are counted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines, self._size = self._lines, [], 0
        if self._stream is None or not lines:
            return
        try:
            self._stream.write(b"".join(lines))
            self._stream.flush()
        except (OSError, ValueError):
            self.dropped += len(lines)


def _json_line(exchange: Exchange, status: int, seconds: float) -> bytes:
    return orjson.dumps(
        {
            "timestamp": now_iso(),
            "level": "info",
            "event": "request",
            "request_id": exchange.request_id,
            "method": exchange.request.method,
            "path": exchange.target.path,
            "route": exchange.route,
            "status": status,
            "reason": exchange.reason,
            "duration_ms": round(seconds * 1000, 2),
            "client": exchange.client.address,
            "user": exchange.user.id if exchange.user else None,
            "service": exchange.service,
            "instance": exchange.instance,
            "attempts": exchange.attempts,
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def _text_line(exchange: Exchange, status: int, seconds: float) -> bytes:
    where = f" -> {exchange.instance}" if exchange.instance else ""
    why = f" ({exchange.reason})" if exchange.reason else ""
    again = f" in {exchange.attempts} tries" if exchange.attempts > 1 else ""
    method, path = exchange.request.method, exchange.target.path
    return (
        f"{now_iso()[11:23]} {method} {path} {status}{why} {seconds * 1000:.1f} ms{where}{again}\n".encode()
    )
