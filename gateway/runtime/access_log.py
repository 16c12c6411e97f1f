"""One line per request, when it has ended: which requests have one, and how the lines get out.

They are gathered and written together a few times a second, and never by waiting for whoever reads them.
"""

import asyncio
import os
import select
from collections.abc import Callable
from datetime import UTC, datetime
from typing import BinaryIO

import orjson

from gateway.answer_head import SWITCHED
from gateway.log_lines import shared_part, text_line
from gateway.runtime.exchange import Exchange
from gateway.runtime.reply import now_iso
from gateway.sampling import Sampler
from gateway.settings_telemetry import LoggingSettings

FLUSH_AFTER_S = 0.2
MAX_WAITING = 1 << 20
"""Bytes of lines that wait to be written; above that, lines are dropped and counted."""


class AccessLog:
    """Writes the lines that `settings` ask for to `stream`.

    A slow request, one that ended with 5xx and one whose answer was cut short always has a line, at level
    warning; of the others, which are at level info, a share has. How long a WebSocket was open is not slow.
    """

    def __init__(
        self,
        stream: BinaryIO,
        settings: LoggingSettings | None = None,
        *,
        flush_after_s: float = FLUSH_AFTER_S,
    ) -> None:
        self._stream = stream
        self._flush_after_s = flush_after_s
        self._waiting = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self.dropped = 0
        self.follow(settings or LoggingSettings())

    def follow(self, settings: LoggingSettings) -> None:
        """Writes as these say from here on; the format stays with the process."""
        self.settings = settings
        level = settings.level if settings.access else "error"
        self._usual = level in ("debug", "info")
        self._writes = level != "error"
        self._slow_s = settings.slow_s
        self._sampler = Sampler(settings.sample) if settings.sample < 1 else None
        self._service = settings.service
        as_json = settings.format == "json"
        self._line: Callable[[Exchange, int, float, str], bytes] = self._json if as_json else _text

    def write(self, exchange: Exchange, status: int, seconds: float) -> None:
        """The request has ended."""
        if not self._writes:
            return
        # A reason of an answer that had begun well is why it was cut short.
        was_cut = exchange.reason is not None and status < 400
        if status >= 500 or ((was_cut or seconds >= self._slow_s) and status != SWITCHED):
            level = "warning"
        elif self._usual and (self._sampler is None or self._sampler.takes()):
            level = "info"
        else:
            return
        if len(self._waiting) > MAX_WAITING:
            self.dropped += 1
            return
        self._waiting += self._line(exchange, status, seconds, level)
        if self._timer is None:
            self._start_timer()

    def flush(self, patience_s: float = 0.0) -> None:
        """Writes what the stream takes, waiting for it at most `patience_s` at a time; the rest stays.

        A log that can't be written must not fail requests nor keep them waiting: its lines are counted.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
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

    def _json(self, exchange: Exchange, status: int, seconds: float, level: str) -> bytes:
        request, user, trace_id = exchange.request, exchange.user, exchange.trace_id
        own: dict[str, object] = {
            "timestamp": datetime.now(UTC),
            "request_id": exchange.request_id,
            "duration_ms": int(seconds * 1e6) / 1000,
            "bytes_in": request.bytes_in,
            "bytes_out": request.bytes_out,
        }
        if exchange.decision:
            own["decision"] = exchange.decision
        if trace_id is not None:
            own["trace_id"] = trace_id
        shared = shared_part(
            self._service,
            level,
            request.method,
            exchange.target.path,
            exchange.route,
            status,
            exchange.reason,
            exchange.head.client.address,
            None if user is None else user.id,
            None if user is None else user.tier,
            exchange.service,
            exchange.instance,
            exchange.attempts,
            exchange.version,
            exchange.cache,
        )
        return orjson.dumps(own, option=orjson.OPT_UTC_Z)[:-1] + shared


def _text(exchange: Exchange, status: int, seconds: float, _level: str) -> bytes:
    return text_line(
        now_iso(),
        exchange.request.method,
        exchange.target.path,
        status,
        seconds,
        reason=exchange.reason,
        instance=exchange.instance,
        attempts=exchange.attempts,
        decision=exchange.decision,
    )
