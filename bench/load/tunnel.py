"""WebSocket clients that send a message and wait for its echo, again and again.

`python -m bench.load.tunnel PORT PATH CONNECTIONS SECONDS [HEADERS]`, headers as JSON.
"""

import argparse
import asyncio
import json
import sys
from time import perf_counter
from typing import cast

import uvloop

from bench.report import percentile

MASK = b"\x37\xfa\x21\x3d"
PAYLOAD = b"m" * 125
"""Bytes of a message: a line of a chat, with its envelope."""
FRAME = (
    bytes([0x81, 0x80 | len(PAYLOAD)]) + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(PAYLOAD))
)
"""One whole masked text frame (RFC 6455, 5.2)."""
WARM_UP = 0.2
"""Of the time."""
PATIENCE_S = 10.0


def opening(port: int, path: str, headers: dict[str, str]) -> bytes:
    """The request that asks for a WebSocket."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
    ).encode()


class Client(asyncio.Protocol):
    """One connection. `opened` is done with the first line of the answer."""

    def __init__(self, request: bytes, opened: "asyncio.Future[bytes]") -> None:
        self._request = request
        self._opened = opened
        self._head = b""
        self._echoed = 0
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None
        self.times: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._opened.done():
            self._head += data
            if b"\r\n\r\n" in self._head:
                self._opened.set_result(self._head.partition(b"\r\n")[0])
            return
        self._echoed += len(data)
        if self._echoed == len(FRAME):
            self.times.append(perf_counter() - self._sent_at)
            self.send()

    def send(self) -> None:
        """The next message; its echo sends the one after it."""
        assert self._transport is not None
        self._echoed = 0
        self._sent_at = perf_counter()
        self._transport.write(FRAME)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._opened.done():
            self._opened.set_exception(exc or ConnectionError("closed without an answer"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def connect(port: int, request: bytes) -> Client:
    """Raises `ConnectionError` when the answer is not a 101."""
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[bytes] = loop.create_future()
    _, client = await loop.create_connection(lambda: Client(request, opened), "127.0.0.1", port)
    async with asyncio.timeout(PATIENCE_S):
        line = await opened
    if b" 101 " not in line:
        client.close()
        raise ConnectionError(f"an upgrade is answered with {line.decode('latin-1')!r}")
    return client


async def run(port: int, request: bytes, connections: int, seconds: float) -> dict[str, float]:
    clients = [await connect(port, request) for _ in range(connections)]
    for client in clients:
        client.send()
    await asyncio.sleep(seconds * WARM_UP)
    warm_up = sum(len(client.times) for client in clients)
    for client in clients:
        client.times.clear()
    started = perf_counter()
    await asyncio.sleep(seconds)
    lasted = perf_counter() - started
    times = [taken for client in clients for taken in client.times]
    silent = sum(not client.times for client in clients)
    for client in clients:
        client.close()
    if silent:
        raise ConnectionError(f"{silent} of {connections} connections brought nothing back")
    return {
        "messages": len(times),
        "warm_up": warm_up,
        "seconds": lasted,
        "p50_us": percentile(times, 0.5) * 1e6,
        "p99_us": percentile(times, 0.99) * 1e6,
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("connections", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("headers", type=json.loads, nargs="?", default={})
    given = parser.parse_args()
    request = opening(given.port, given.path, given.headers)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            taken = runner.run(run(given.port, request, given.connections, given.seconds))
    except OSError as problem:
        print(str(problem) or type(problem).__name__, file=sys.stderr)
        return 1
    print(json.dumps(taken))
    return 0


if __name__ == "__main__":
    sys.exit(main())
