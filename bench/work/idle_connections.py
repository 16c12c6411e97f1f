"""What an idle keep-alive connection costs: 10,000 of them, each after one answered request."""

import resource
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench import quaymaster
from bench.contest import Started, answers, contest, contestants, features_on, how
from bench.paths import SMALL
from bench.report import Goal, Options, Report, Row

PEERS_TAKEN = ("nginx", "haproxy", "envoy", "caddy", "aiohttp")
COUNT = 10_000
SPARE = 500
"""Open files that the client, and each gateway, need for other things."""
AT_ONCE = 200
"""Connections that are opened together: fewer than any backlog."""
PATIENCE_S = 10.0
SETTLE_S = 0.5
GOAL_KIB = 25.0


def measure(options: Options) -> Report:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(COUNT // 10 if options.quick else COUNT, hard - SPARE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # what is started here inherits it
    entries = [features_on(options), *contestants(PEERS_TAKEN, options)]
    try:
        with contest(entries, answers(SMALL)) as taken:
            rows = []
            for one in taken.started:
                try:
                    rows.append(Row(one.title, idle_cost(one, count)))
                except OSError as problem:
                    taken.left_out.append(f"{one.title}: {problem}")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    report = Report(
        measurement="idle",
        title=f"Hold {count:,} idle keep-alive connections",
        rows=tuple(rows),
        notes=(how()[0], "growth of resident memory from a gateway that has answered a few requests"),
        left_out=tuple(taken.left_out),
        programs=taken.programs,
    )
    cost = report.figure(quaymaster.ON, "kib_each")
    # Quaymaster that can't hold them has not met the goal, whatever the reason.
    worst = float("inf") if cost is None else cost
    return report.judged(Goal("Quaymaster, KiB a connection", worst, "at most", GOAL_KIB))


def idle_cost(one: Started, count: int) -> dict[str, float]:
    """Raises `OSError` when the gateway does not hold them."""
    with held(one.port, AT_ONCE):
        pass
    time.sleep(SETTLE_S)
    before = one.rss_bytes()
    with held(one.port, count) as sockets:
        time.sleep(SETTLE_S)
        grown = one.rss_bytes() - before
        if gone := closed(sockets):
            raise ConnectionError(f"{gone:,} of {count:,} connections were closed")
    return {
        "count": count,
        "kib_each": round(grown / count / 1024, 2),
        "rss_mb": round((before + grown) / 1e6, 1),
    }


@contextmanager
def held(port: int, count: int) -> Iterator[list[socket.socket]]:
    """So many connections, each with one answer read."""
    head = "".join(f"{name}: {value}\r\n" for name, value in quaymaster.user_headers().items())
    request = f"GET {SMALL} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{head}\r\n".encode()
    sockets: list[socket.socket] = []
    try:
        while len(sockets) < count:
            batch = []
            for _ in range(min(AT_ONCE, count - len(sockets))):
                batch.append(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
                sockets.append(batch[-1])
            for connection in batch:
                connection.sendall(request)
            for connection in batch:
                read_answer(connection)
        yield sockets
    finally:
        for connection in sockets:
            connection.close()


def read_answer(connection: socket.socket) -> None:
    """Reads one answer of SMALL. Raises `ConnectionError` when it is not a good one."""
    answer = b""
    while b"}" not in answer.partition(b"\r\n\r\n")[2]:
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionError(f"closed after {answer[:80]!r}")
        answer += piece
    if b" 200 " not in answer[:20]:
        raise ConnectionError(f"answered {answer[:80]!r}")


def closed(sockets: Sequence[socket.socket]) -> int:
    """How many of them the other side has closed: an idle connection has nothing to read."""
    with selectors.DefaultSelector() as selector:
        for connection in sockets:
            selector.register(connection, selectors.EVENT_READ)
        return len(selector.select(timeout=0))
