"""Instances with one fault each, beyond those of tests/balancer/origins.py."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from registry.model import Instance
from tests.balancer.origins import OK, Behaviour, Connection, Origin, origin

DRIP_S = 0.05
"""One byte so often: always sooner than any idle timeout here."""

Faulty = Callable[[str], AbstractAsyncContextManager[Origin | Instance]]
"""An id -> an instance of that id, behaving badly; some have nothing that could count."""


def behaving(behaviour: Behaviour) -> Faulty:
    return lambda id: origin(behaviour, id)


async def drips_the_body(connection: Connection) -> None:
    """One byte now and then, and it would go on for hours."""
    await connection.request()
    await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        await connection.say(b"x")
        await asyncio.sleep(DRIP_S)


async def drips_a_whole_answer(connection: Connection) -> None:
    """One byte now and then, to the end."""
    while True:
        await connection.request()
        for octet in b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello":
            await connection.say(bytes([octet]))
            await asyncio.sleep(0.001)


async def stops_an_open_end(connection: Connection) -> None:
    """The body ends where the connection ends, which it does not."""
    await connection.request()
    await connection.say(b"HTTP/1.1 200 OK\r\n\r\nhalf")
    await connection.reader.read()


async def resets_an_open_end(connection: Connection) -> None:
    await connection.request()
    await connection.say(b"HTTP/1.1 200 OK\r\n\r\nhalf")
    await connection.origin.go.wait()
    connection.reset()


async def ends_in_the_head(connection: Connection) -> None:
    await connection.request()
    await connection.say(b"HTTP/1.1 200 OK\r\nContent-Le")


async def sends_a_broken_chunk(connection: Connection) -> None:
    await connection.request()
    await connection.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    await connection.origin.go.wait()
    await connection.say(b"xyz\r\n")
    await connection.reader.read()


async def interim_for_ever(connection: Connection) -> None:
    """1xx after 1xx, and never an answer."""
    await connection.request()
    while True:
        await connection.say(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await asyncio.sleep(DRIP_S)


async def answers_early(connection: Connection) -> None:
    """As soon as it has the head, whatever the body; reads on."""
    connection.origin.heads.append(await connection.reader.readuntil(b"\r\n\r\n"))
    await connection.say(OK)
    while await connection.reader.read(1 << 16):
        pass


async def answers_early_and_closes(connection: Connection) -> None:
    """As a server does that refuses an upload."""
    connection.origin.heads.append(await connection.reader.readuntil(b"\r\n\r\n"))
    await connection.say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
    connection.writer.write_eof()
    await connection.reader.read(1 << 16)


SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


async def sends_two_answers(connection: Connection) -> None:
    """Both at once, to every request but a probe."""
    while True:
        head = await connection.request()
        await connection.say(OK if b"/probe" in head else OK + SECOND)


async def sends_a_second_answer_later(connection: Connection) -> None:
    """When the connection is idle again and the test says so."""
    while True:
        head = await connection.request()
        await connection.say(OK)
        if b"/probe" not in head:
            await connection.origin.go.wait()
            await connection.say(SECOND)
