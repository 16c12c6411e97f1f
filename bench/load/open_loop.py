"""An open loop: requests start when their time has come, whether or not the ones before have been answered.

`python -m bench.load.open_loop PORT PATH PER_S SECONDS [HEADERS]`, headers as JSON. Starts are drawn as a
Poisson process. A time counts from the moment the request was due, so what waits for a free connection, or
for a gateway that stands still, is part of it. (wrk is a closed loop: it asks less when answers are late.)
"""

import argparse
import json
import random
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence

from bench.report import percentile

CONNECTIONS = 64
PATIENCE_S = 10.0
CONTENT_LENGTH = b"content-length:"


def answer_length(data: bytes) -> int | None:
    """Bytes of the answer that `data` begins with; `None` while its head is not whole.

    Raises `ValueError` for one that is not a 2xx with a `Content-Length`.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = data[:end].lower()
    at = head.find(CONTENT_LENGTH)
    if not head.startswith(b"http/1.1 2") or at < 0:
        raise ValueError(f"answered {data[:200]!r}")
    return end + 4 + int(head[at + len(CONTENT_LENGTH) :].partition(b"\r\n")[0])


class OpenLoop:
    """Raises `ValueError` for a bad answer, `OSError` when a connection breaks."""

    def __init__(self, port: int, request: bytes, per_s: float, rng: random.Random) -> None:
        self._request = request
        self._per_s = per_s
        self._rng = rng
        self._free = deque(
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) for _ in range(CONNECTIONS)
        )
        self._asked: dict[socket.socket, float] = {}
        """When each request that waits for its answer was due."""
        self._partial: dict[socket.socket, bytes] = {}
        self._waiting: deque[float] = deque()
        """Requests that are due and have no connection yet."""
        self.times: list[float] = []
        """Seconds from due to answered."""

    def run(self, seconds: float) -> None:
        """Starts requests for so long, and returns when all are answered."""
        due = time.perf_counter()
        end = due + seconds
        while due < end or self._asked or self._waiting:
            now = time.perf_counter()
            while due < end and due <= now:
                self._waiting.append(due)
                due += self._rng.expovariate(self._per_s)
            self._send()
            if now > end + PATIENCE_S:
                raise ValueError(f"{len(self._asked)} requests are not answered")
            idle_s = due - time.perf_counter() if due < end else 0.1
            # Of the ways to wait, select() alone takes less than a millisecond.
            readable, _, _ = select.select(list(self._asked), (), (), max(0.0, idle_s))
            for connection in readable:
                self._receive(connection)

    def _send(self) -> None:
        while self._waiting and self._free:
            # The one that was free last: as a client's pool does it.
            connection = self._free.pop()
            self._asked[connection] = self._waiting.popleft()
            connection.sendall(self._request)

    def _receive(self, connection: socket.socket) -> None:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("a connection was closed")
        data = self._partial.pop(connection, b"") + piece
        length = answer_length(data)
        if length is None or len(data) < length:
            self._partial[connection] = data
            return
        self.times.append(time.perf_counter() - self._asked.pop(connection))
        self._free.append(connection)

    def close(self) -> None:
        for connection in (*self._free, *self._asked):
            connection.close()


def figures(times: Sequence[float]) -> dict[str, float]:
    shares = {"p50_us": 0.5, "p99_us": 0.99}
    return {name: round(percentile(times, share) * 1e6) for name, share in shares.items()}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("per_s", type=float)
    parser.add_argument("seconds", type=float)
    parser.add_argument("headers", type=json.loads, nargs="?", default={})
    given = parser.parse_args()
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.headers.items())
    request = f"GET {given.path} HTTP/1.1\r\nHost: 127.0.0.1:{given.port}\r\n{lines}\r\n".encode()
    loop = OpenLoop(given.port, request, given.per_s, random.Random(given.port))
    try:
        loop.run(given.seconds / 5)  # warm
        loop.times.clear()
        loop.run(given.seconds)
    except (OSError, ValueError) as problem:
        print(problem, file=sys.stderr)
        return 1
    finally:
        loop.close()
    print(json.dumps(figures(loop.times) | {"count": len(loop.times)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
