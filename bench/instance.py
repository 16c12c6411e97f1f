"""An instance of our own: what nginx can't do (echo a WebSocket), and a stand-in where nginx is missing.

`python -m bench.instance PORT`, until SIGTERM. With `--takes SECONDS` an answer takes that long on average,
drawn exponentially; with `--exactly`, always. After the 101 it sends every byte back as it came: a tunnel
carries bytes, and to take frames apart would cost more than what is measured.
"""

import argparse
import asyncio
import base64
import hashlib
import random
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from functools import partial

import uvloop

from bench.paths import LARGE, LARGE_BYTES, MIB, MIB_BYTES, SMALL_BODY

ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, 1.3."""
PIECE = b"\0" * (256 << 10)
MAX_HEAD = 64 << 10


class BadRequest(Exception):
    """The head of a request can't be understood."""


def read_head(head: bytes) -> tuple[str, dict[bytes, bytes]]:
    """The target, and the headers with their names in small letters. Raises `BadRequest`."""
    first, *lines = head.rstrip(b"\r\n").split(b"\r\n")
    words = first.split(b" ")
    if len(words) != 3:
        raise BadRequest(repr(first))
    pairs = (line.partition(b":") for line in lines)
    return words[1].decode("latin-1"), {name.strip().lower(): value.strip() for name, _, value in pairs}


def handshake(key: bytes) -> bytes:
    """The answer that opens a WebSocket (RFC 6455, 4.2.2)."""
    accept = base64.b64encode(hashlib.sha1(key + ACCEPT_GUID).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"


def at_once() -> float:
    return 0.0


async def serve_connection(takes_s: Callable[[], float], reader: StreamReader, writer: StreamWriter) -> None:
    try:
        while True:
            target, headers = read_head(await reader.readuntil(b"\r\n\r\n"))
            if headers.get(b"upgrade", b"").lower() == b"websocket":
                writer.write(handshake(headers.get(b"sec-websocket-key", b"")))
                await echo(reader, writer)
                return
            await skip_body(reader, headers)
            if takes_s is not at_once:
                await asyncio.sleep(takes_s())
            await answer(writer, target)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, BadRequest):
        pass  # the other side has left, or speaks something else
    finally:
        writer.close()


async def echo(reader: StreamReader, writer: StreamWriter) -> None:
    while piece := await reader.read(len(PIECE)):
        writer.write(piece)
        await writer.drain()


async def skip_body(reader: StreamReader, headers: dict[bytes, bytes]) -> None:
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\r\n")
        return
    left = int(headers.get(b"content-length", b"0"))
    while left:
        left -= len(await reader.readexactly(min(left, len(PIECE))))


async def answer(writer: StreamWriter, target: str) -> None:
    size = {MIB: MIB_BYTES, LARGE: LARGE_BYTES}.get(target)
    if size is None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % len(SMALL_BODY) + SMALL_BODY)
        return
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    for at in range(0, size, len(PIECE)):
        writer.write(PIECE[: size - at])
        await writer.drain()


async def serve(port: int, takes_s: Callable[[], float] = at_once) -> None:
    answers = partial(serve_connection, takes_s)
    server = await asyncio.start_server(answers, "127.0.0.1", port, backlog=4096, limit=MAX_HEAD)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--takes", type=float, metavar="SECONDS")
    parser.add_argument("--exactly", action="store_true")
    given = parser.parse_args()
    takes_s = at_once
    if given.takes is not None:
        rng = random.Random(given.port)
        takes_s = partial(float, given.takes) if given.exactly else partial(rng.expovariate, 1 / given.takes)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(given.port, takes_s))


if __name__ == "__main__":
    main()
