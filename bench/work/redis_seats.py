"""Seats handed out by three gateways that share a Redis: what a seat costs, and whether all are exact.

The three replicas share the gateways' core, and Redis the other one with the load, for two cores are all
there is. So what a replica does with a core of its own is no rate that is seen here, but what the user and
system time of its process allows: a second divided by the CPU time of a seat.
"""

import asyncio
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from bench import quaymaster
from bench.contest import TOLERATED, WARM_UP_S, Contestant, Started, contest, how
from bench.load import wrk
from bench.load.wrk import Taken, Work
from bench.peers.base import Place
from bench.processes import DidNotStart
from bench.report import Goal, Options, Report, Row, medians
from bench.reporting import DEAD_AFTER_S, UNTHROTTLED, reports, seated
from bench.work.handler_seats import FEW, HANDLERS, work
from handlers.model import HandlerState, PoolSettings
from handlers.stores import load_store
from tests.servers import free_ports, patient, redis_server

REPLICAS = 3
POOL = "websocket-handler"
"""What the gateways call the pool in Redis: the name of its service."""
ENOUGH = 100_000
"""Capacity of a handler that no run fills."""
SCARCE = 300
"""Capacity of a handler that every run fills."""
PATIENCE = 15
"""Runs of a second in which the scarce seats must be gone."""
ONE = "one gateway"
THREE = "three gateways"
UNCOUNTED = "three gateways, no rate limits"
FULL = f"three gateways, until all {HANDLERS * SCARCE:,} seats are taken"
GOAL_PER_CORE = 8_000.0
NO_LIMITS = {"limits": {"per_address": None, "per_user": None}}


def measure(options: Options) -> Report:
    rows: list[Row] = []
    with TemporaryDirectory(prefix="quaymaster-bench-") as folder:
        load = work(Path(folder), FEW)
        with replicas(options, ENOUGH) as (gateways, redis):
            rows.append(
                Row(ONE, medians([turn(gateways[:1], redis, load, options) for _ in rounds(options)]))
            )
            rows.append(Row(THREE, medians([turn(gateways, redis, load, options) for _ in rounds(options)])))
        with replicas(options, ENOUGH, NO_LIMITS) as (gateways, redis):
            rows.append(
                Row(UNCOUNTED, medians([turn(gateways, redis, load, options) for _ in rounds(options)]))
            )
        with replicas(options, SCARCE) as (gateways, redis):
            rows.append(Row(FULL, fill(gateways, redis, load)))
            programs = {"wrk": wrk.version(), "Redis": info(redis, "server")["redis_version"]}
    found = Report(
        measurement="seats-redis",
        title=f"Hand out seats with {REPLICAS} gateways on one Redis",
        rows=tuple(rows),
        notes=(
            f"{REPLICAS} gateways share one core, Redis and the load the other",
            "per s a core: 1 s / µs CPU of a seat, user and system time of the gateways",
            how()[1],
            f"32 keep-alive connections a gateway, {FEW:,} users; {HANDLERS} handlers report every second",
            "max-min and past the cap: as Redis has the handlers in the middle of a run, held seats included",
        ),
        programs=programs,
    )
    return found.judged(
        Goal("seats/s of a gateway's core", found.figure(THREE, "per_core"), "at least", GOAL_PER_CORE),
        Goal("the worst spread", max(row.figures["spread"] for row in rows), "at most", 1),
        Goal("seats past the cap", sum(row.figures["over_cap"] for row in rows), "at most", 0),
    )


def rounds(options: Options) -> range:
    return range(options.rounds)


@contextmanager
def replicas(
    options: Options, capacity: int, changed: dict[str, Any] | None = None
) -> Iterator[tuple[list[Started], str]]:
    """The gateways, and the URL of the Redis they share. The handlers report to the first."""
    behind = free_ports(HANDLERS)
    with redis_server() as url:

        def settings(place: Place) -> dict[str, Any]:
            return shared_settings(place, url, capacity) | (changed or {})

        launch = quaymaster.launcher(settings, options.tree)
        entries = [Contestant(f"gateway {number}", launch) for number in range(REPLICAS)]
        ready = seated(behind, capacity)
        with contest(entries, ready, behind) as taken, reports([taken.started[0].port], behind):
            yield taken.started, url


def shared_settings(place: Place, url: str, capacity: int) -> dict[str, Any]:
    """No seat comes free while a run lasts: what is handed out alone must keep the handlers even."""
    return quaymaster.settings_on(place) | {
        "services": {
            "websocket-handler": {"instances": [f"http://{address}" for address in place.addresses]}
        },
        "routes": [],
        "store": {"backend": "redis", "url": patient(url)},
        "handlers": {
            "secret": quaymaster.SECRET,
            "capacity": capacity,
            "guaranteed_s": 60.0,
            "dead_after_s": DEAD_AFTER_S,
            "seats_per_user": 10_000,
            **UNTHROTTLED,
        },
    }


def turn(gateways: Sequence[Started], redis: str, load: Work, options: Options) -> dict[str, float]:
    """All of these gateways under the load at once. Raises `DidNotStart` when they answer errors."""
    if not options.quick:
        at_once(gateways, load, WARM_UP_S)
    before_s, redis_before_s = sum(one.cpu_s() for one in gateways), redis_cpu_s(redis)
    with ThreadPoolExecutor(1) as looking:
        even = looking.submit(evenness_after, options.seconds * 0.8, redis, ENOUGH)
        taken = at_once(gateways, load, options.seconds)
    cpu_s, redis_s = sum(one.cpu_s() for one in gateways) - before_s, redis_cpu_s(redis) - redis_before_s
    requests, bad = sum(run.requests for run in taken), sum(run.bad for run in taken)
    if not requests or bad > requests * TOLERATED:
        raise DidNotStart(f"{bad} of {requests} answers were errors")
    return {
        "per_s": round(sum(run.per_s for run in taken)),
        "cpu_us": round(cpu_s / requests * 1e6, 1),
        "per_core": round(requests / cpu_s),
        "store_us": round(redis_s / requests * 1e6, 1),
        "p50_ms": round(max(run.p50_ms for run in taken), 3),
        "p99_ms": round(max(run.p99_ms for run in taken), 3),
        **even.result(),
    }


def fill(gateways: Sequence[Started], redis: str, load: Work) -> dict[str, float]:
    """Requests to all gateways at once until some find no room. Raises `DidNotStart` when all did."""
    seats = len(gateways)  # each was asked for one when it started
    for _ in range(PATIENCE):
        taken = at_once(gateways, load, 1.0)
        seats += sum(run.requests - run.bad for run in taken)
        if any(run.bad for run in taken):
            found = asyncio.run(states(redis))
            even = evenness(found, SCARCE)
            past = max(0, seats - HANDLERS * SCARCE)
            return {"count": sum(map(load_of, found)), **even, "over_cap": max(past, even["over_cap"])}
    raise DidNotStart(f"after {seats} seats there is still room")


def at_once(gateways: Sequence[Started], load: Work, seconds: float) -> list[Taken]:
    with ThreadPoolExecutor(len(gateways)) as pool:
        return list(pool.map(lambda one: wrk.run(load, one.port, seconds), gateways))


def evenness_after(seconds: float, redis: str, capacity: int) -> dict[str, float]:
    """Of the handlers in the middle of a run: at its end wrk hangs up, and the seats it then does not wait
    for are given back."""
    time.sleep(seconds)
    return evenness(asyncio.run(states(redis)), capacity)


def evenness(handlers: Sequence[HandlerState], capacity: int) -> dict[str, float]:
    loads = list(map(load_of, handlers))
    over_cap = sum(max(0, load - capacity) for load in loads)
    return {"spread": max(loads) - min(loads), "over_cap": over_cap}


def load_of(handler: HandlerState) -> int:
    return handler.connections + handler.held


async def states(redis: str) -> tuple[HandlerState, ...]:
    """The handlers as Redis has them."""
    async with load_store("redis")(PoolSettings(POOL), patient(redis)) as store:
        return await store.states()


def redis_cpu_s(redis: str) -> float:
    """User and system time of that Redis so far."""
    found = info(redis, "cpu")
    return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])


def info(redis: str, section: str) -> dict[str, str]:
    """What that Redis tells of itself."""
    address = urlsplit(redis)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(f"INFO {section}\r\n".encode())
        said = b""
        while not said.endswith(b"\r\n") or said.count(b"\r\n") < 3:
            said += connection.recv(65_536)
    lines = (line.partition(":") for line in said.decode().splitlines())
    return {name: value for name, colon, value in lines if colon}
