"""1 GiB through each gateway to a client that reads slowly: how much the gateway's memory grows.

The reader has a small receive buffer, stops for a while after the head, and then takes a share at a time.
The instance could send everything at once, so what the client does not take yet must wait there.
"""

import http.client
import socket
import time
from dataclasses import dataclass, field

from bench import quaymaster
from bench.contest import Started, answers, contest, contestants, features_on, how
from bench.paths import LARGE, LARGE_BYTES, SMALL
from bench.report import Goal, Options, Report, Row

PEERS_TAKEN = ("nginx", "haproxy", "envoy", "aiohttp")
STOPPED_S = 2.0
SHARE_BYTES = 32 << 20
PAUSE_S = 0.15
"""After each share: at most about 200 MB a second, a fraction of what loopback carries."""
RECEIVE_BUFFER = 64 << 10
GOAL_MIB = 20.0


def measure(options: Options) -> Report:
    limit = LARGE_BYTES // 16 if options.quick else LARGE_BYTES
    entries = [features_on(options), *contestants(PEERS_TAKEN, options)]
    with contest(entries, answers(SMALL)) as taken:
        rows = []
        for one in taken.started:
            try:
                rows.append(Row(one.title, read_slowly(one, limit)))
            except (OSError, http.client.HTTPException) as problem:
                taken.left_out.append(f"{one.title}: {problem!r}")
    report = Report(
        measurement="slow-reader",
        title=f"{limit >> 20:,} MiB down to a slow reader",
        rows=tuple(rows),
        notes=(how()[0], f"the reader stops for {STOPPED_S:g} s, then reads at most about 200 MB a second"),
        left_out=tuple(taken.left_out),
        programs=taken.programs,
    )
    grown = report.figure(quaymaster.ON, "grown_mib")
    # A transfer that broke has not met the goal.
    worst = float("inf") if grown is None else grown
    return report.judged(Goal("Quaymaster grows by, MiB", worst, "at most", GOAL_MIB))


@dataclass(slots=True)
class Growth:
    """The most that a process's memory was above what it was at first."""

    gateway: Started
    first: int = 0
    most: int = field(default=0)

    def __post_init__(self) -> None:
        self.first = self.most = self.gateway.rss_bytes()

    def look(self) -> None:
        self.most = max(self.most, self.gateway.rss_bytes())

    @property
    def mib(self) -> float:
        return (self.most - self.first) / (1 << 20)


def read_slowly(one: Started, limit: int) -> dict[str, float]:
    """Raises `OSError` or `HTTPException` when the body is not whole."""
    growth = Growth(one)
    connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=30)
    connection.sock = socket.socket()
    try:
        connection.sock.settimeout(30)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        connection.sock.connect(("127.0.0.1", one.port))
        started = time.perf_counter()
        connection.request("GET", LARGE, headers=quaymaster.user_headers())
        answer = connection.getresponse()
        rest(STOPPED_S, growth)
        received = 0
        while received < limit and (piece := answer.read(min(1 << 20, limit - received))):
            received += len(piece)
            growth.look()
            if received % SHARE_BYTES == 0:
                rest(PAUSE_S, growth)
        seconds = time.perf_counter() - started
    finally:
        connection.close()
    if received != limit or answer.status != 200:
        raise http.client.IncompleteRead(b"", limit - received)
    return {
        "mb_per_s": round(received / seconds / 1e6, 1),
        "grown_mib": round(growth.mib, 1),
        "rss_mb": round(growth.most / 1e6, 1),
    }


def rest(seconds: float, growth: Growth) -> None:
    """Reads nothing, and looks at the gateway meanwhile."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        growth.look()
        time.sleep(0.05)
