"""A client that says any bytes, in pieces, and keeps every byte of what it hears."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from tests.conformance.oracle import Answer, Answers, answers_in

WITHIN_S = 10.0
"""More than anything here takes, also on a busy machine."""

SILENCE_S = 0.2
"""Where silence is a right reaction, it is believed after so long."""

PROBE = b"GET /probe HTTP/1.1\r\nHost: probe\r\n\r\n"
"""Said after an answer: whatever was taken for a request before it is answered first."""


@dataclass(slots=True)
class Talk:
    """One connection of a client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    methods: list[bytes] = field(default_factory=list)
    """Of what was asked, as far as it matters to the length of answers."""
    raw: bytearray = field(default_factory=bytearray)
    closed: bool = False
    """The gateway has ended the connection, properly or by a reset."""
    reset: bool = False

    def heard(self) -> Answers:
        return answers_in(bytes(self.raw), self.methods, closed=self.closed)

    @property
    def answers(self) -> list[Answer]:
        return self.heard().whole

    async def say(self, *parts: bytes) -> None:
        """Each part by itself. A gateway that has hung up already is no fault here: see `closed`."""
        try:
            for part in parts:
                self.writer.write(part)
                await self.writer.drain()
        except ConnectionError:
            return

    async def hear(self, enough: Callable[[], bool], within_s: float = WITHIN_S) -> bool:
        """Reads until `enough` or the end of the connection; False when it came to neither in time."""
        try:
            async with asyncio.timeout(within_s):
                while not self.closed and not enough():
                    await self._read()
        except TimeoutError:
            return False
        return True

    async def to_the_end(self) -> None:
        """Reads until the gateway ends the connection. Raises `TimeoutError` when it does not."""
        if not await self.hear(lambda: False):
            raise TimeoutError("the connection stays open")

    async def answer(self, count: int = 1) -> Answer:
        """The answer of that number. Raises `AssertionError` when the connection ends without it."""
        await self.hear(lambda: len(self.answers) >= count)
        answers = self.answers
        assert len(answers) >= count, f"heard {bytes(self.raw)!r}, closed: {self.closed}"
        return answers[count - 1]

    async def _read(self) -> None:
        try:
            data = await self.reader.read(1 << 16)
        except ConnectionError:
            data, self.reset = b"", True
        self.raw += data
        self.closed = not data


@asynccontextmanager
async def talk(port: int, methods: Iterable[bytes] = ()) -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Talk(reader, writer, list(methods))
    finally:
        writer.transport.abort()


async def converse(
    port: int, steps: Sequence[bytes], methods: Iterable[bytes] = (), *, silence_s: float = WITHIN_S
) -> tuple[Talk, bytes]:
    """Says one step after the other, each when the one before was answered, and then the probe.

    Returns what was heard and what was said. Silence for `silence_s` ends it.
    """
    said = bytearray()
    async with talk(port, methods) as client:
        for count, step in enumerate(steps, 1):
            said += step
            await client.say(step)
            answered = await client.hear(partial(_has, client, count), silence_s)
            if client.closed or not answered:
                return client, bytes(said)
        said += PROBE
        await client.say(PROBE)
        await client.hear(partial(_probed, client), silence_s)
        return client, bytes(said)


def _has(client: Talk, count: int) -> bool:
    return len(client.answers) >= count


def _probed(client: Talk) -> bool:
    return any(b'"/probe"' in saw for answer in client.answers for saw in answer.all(b"x-saw"))
