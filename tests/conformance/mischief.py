"""Calls that go wrong at either end, as many as one likes: what the client does, what the instance does."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import count
from random import Random

from tests.balancer.origins import Connection
from tests.conformance.talk import Talk, talk

BIG = 150_000
"""Bytes of a body that does not fit into one read, nor into the buffers on the way."""


def ok(mark: bytes, *lines: bytes) -> bytes:
    """The head of an answer that says whose it is."""
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"X-Mark: " + mark, *lines, b"", b""])


async def answers(connection: Connection, mark: bytes) -> bool:
    await connection.say(ok(mark, b"Content-Length: 2") + b"ok")
    return True


async def answers_and_closes(connection: Connection, mark: bytes) -> bool:
    await connection.say(ok(mark, b"Content-Length: 2", b"Connection: close") + b"ok")
    return False


async def closes_unannounced(connection: Connection, mark: bytes) -> bool:
    await connection.say(ok(mark, b"Content-Length: 2") + b"ok")
    return False


async def answers_in_chunks(connection: Connection, mark: bytes) -> bool:
    await connection.say(ok(mark, b"Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\n\r\n")
    return True


async def answers_at_length(connection: Connection, mark: bytes) -> bool:
    await connection.say(ok(mark, b"Content-Length: %d" % BIG) + bytes(BIG))
    return True


async def ends_the_body_by_closing(connection: Connection, mark: bytes) -> bool:
    await connection.say(ok(mark) + b"ok")
    return False


async def closes(_: Connection, __: bytes) -> bool:
    return False


async def resets(connection: Connection, _: bytes) -> bool:
    connection.reset()
    return False


async def stalls(connection: Connection, _: bytes) -> bool:
    await connection.reader.read()
    return False


async def cuts_the_body(connection: Connection, mark: bytes) -> bool:
    await connection.say(ok(mark, b"Content-Length: %d" % BIG) + bytes(BIG // 2))
    return False


async def stalls_in_the_body(connection: Connection, mark: bytes) -> bool:
    await connection.say(ok(mark, b"Content-Length: 9") + b"ok")
    await connection.reader.read()
    return False


async def says_garbage(connection: Connection, _: bytes) -> bool:
    await connection.say(b"\x16\x03\x01\r\n\r\n")
    return True


async def says_it_twice(connection: Connection, mark: bytes) -> bool:
    whole = ok(mark, b"Content-Length: 2") + b"ok"
    await connection.say(whole + whole)
    return True


INSTANCE: dict[str, Callable[[Connection, bytes], Awaitable[bool]]] = {
    behaviour.__name__: behaviour
    for behaviour in (
        answers,
        answers_and_closes,
        closes_unannounced,
        answers_in_chunks,
        answers_at_length,
        ends_the_body_by_closing,
        closes,
        resets,
        stalls,
        cuts_the_body,
        stalls_in_the_body,
        says_garbage,
        says_it_twice,
    )
}
"""What an instance may do once it has a request; true when its connection goes on."""

WEIGHTS = [9, 2, 2, 4, 1, 2, 1, 1, 1, 1, 1, 1, 1]


EARLY = "early"
"""In the middle of a path: the instance does it before it has the body."""


async def obeys(connection: Connection) -> None:
    """Does what the request's path says, `/<what>/<when>/<mark>`."""
    goes_on = True
    while goes_on:
        head = await connection.reader.readuntil(b"\r\n\r\n")
        connection.origin.heads.append(head)
        _, what, when, mark = head.split(b" ")[1].decode().split("/")
        if when == EARLY:
            await INSTANCE[what](connection, mark.encode())
            return
        await read_body(connection.reader, head.lower())
        goes_on = await INSTANCE[what](connection, mark.encode())


async def read_body(reader: asyncio.StreamReader, head: bytes) -> None:
    if b"\r\ntransfer-encoding: chunked\r\n" in head:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\r\n")
    elif b"\r\ncontent-length: " in head:
        _, _, rest = head.partition(b"\r\ncontent-length: ")
        await reader.readexactly(int(rest.split(b"\r\n")[0]))


class Client:
    """Calls as a client of many moods: patient, or gone at any point of the call."""

    def __init__(self, port: int, rng: Random) -> None:
        self._port = port
        self._rng = rng
        self.heard: Counter[str] = Counter()
        """How calls ended: by status, or `gone` where the client left, or `cut`; `wrong` must not be."""
        self._marks = count()

    async def call(self, calls: int) -> None:
        """As many calls, on as few connections as their ends allow."""
        while calls > 0:
            async with talk(self._port) as client:
                while calls > 0:
                    calls -= 1
                    if not await self._one(client):
                        break
                    client.raw.clear()

    async def _one(self, client: Talk) -> bool:
        """One call; false when the connection can't carry another."""
        rng = self._rng
        what = rng.choices(list(INSTANCE), WEIGHTS)[0]
        when = EARLY if rng.random() < 0.1 else "whole"
        size = rng.choice([0, 5, 5, 5, 5, 5, 5, BIG])
        leaves = rng.choice([None] * 6 + ["in the head", "in the body", "at once", "in the answer"])
        mark = f"{next(self._marks)}"
        head = f"{rng.choice(['GET', 'POST'])} /{what}/{when}/{mark} HTTP/1.1\r\nHost: a\r\n"
        if rng.random() < 0.5:
            head += f"Content-Length: {size}\r\n\r\n"
            body, end = bytes(size), b""
        else:
            head += "Transfer-Encoding: chunked\r\n\r\n"
            body, end = (b"%x\r\n%b\r\n" % (size, bytes(size)) if size else b""), b"0\r\n\r\n"
        if leaves == "in the head":
            return await self._leave(client, head[: len(head) // 2].encode())
        if leaves == "in the body" and body:
            return await self._leave(client, head.encode() + body[: len(body) // 2])
        if leaves == "at once":
            return await self._leave(client, head.encode() + body + end)
        await client.say(head.encode() + body + end)
        if leaves == "in the answer":
            await client.hear(lambda: b"\r\n\r\n" in client.raw)
            return await self._leave(client, b"")
        await client.hear(lambda: bool(client.answers))
        answers = client.answers
        self.heard[str(answers[0].status) if answers else "cut"] += 1
        if answers and answers[0].status == 200 and answers[0].all(b"x-mark") != [mark.encode()]:
            self.heard["wrong"] += 1
        return bool(answers) and not client.closed and when != EARLY and len(body) < BIG

    async def _leave(self, client: Talk, last_words: bytes) -> bool:
        await client.say(last_words)
        self.heard["gone"] += 1
        return False
