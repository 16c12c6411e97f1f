"""An HTTP client over plain sockets that repeats nothing: what a library tries again would be hidden.

It keeps connections as a careful client does: one that the server has closed is noticed before it is used
again. What goes wrong is a word: `refused`, `reset`, `closed` (before an answer), `cut` (in its body),
`timeout`, `garbage`.
"""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping
from dataclasses import dataclass, field

PATIENCE_S = 15.0
MAX_IDLE = 64
PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class NoAnswer(Exception):
    """The text is one of the words above."""


@dataclass(slots=True)
class Client:
    """Asks one port of this machine."""

    port: int
    patience_s: float = PATIENCE_S
    _idle: list[tuple[StreamReader, StreamWriter]] = field(default_factory=list)

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Raises `NoAnswer`."""
        try:
            async with asyncio.timeout(self.patience_s):
                return await self._ask(method, path, headers or {}, body)
        except TimeoutError:
            raise NoAnswer("timeout") from None
        except ConnectionRefusedError:
            raise NoAnswer("refused") from None
        except OSError:
            raise NoAnswer("reset") from None

    async def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        reader, writer = await self._connection()
        kept = False
        try:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            length = f"Content-Length: {len(body)}\r\n" if body else ""
            head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{length}{lines}\r\n"
            writer.write(head.encode() + body)
            answer = await _read_answer(reader)
            kept = answer.headers.get("connection") != "close" and len(self._idle) < MAX_IDLE
            if kept:
                self._idle.append((reader, writer))
            return answer
        finally:
            if not kept:
                writer.close()

    async def _connection(self) -> tuple[StreamReader, StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port)

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


async def _read_answer(reader: StreamReader) -> Answer:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
    except asyncio.IncompleteReadError:
        raise NoAnswer("closed") from None
    except (ValueError, IndexError, asyncio.LimitOverrunError):
        raise NoAnswer("garbage") from None
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    try:
        return Answer(status, headers, await _read_body(reader, headers))
    except (asyncio.IncompleteReadError, ConnectionError):
        raise NoAnswer("cut") from None


async def _read_body(reader: StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    pieces = []
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        pieces.append((await reader.readexactly(size + 2))[:-2])
    await reader.readuntil(b"\r\n")
    return b"".join(pieces)
