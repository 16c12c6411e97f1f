"""Linkerd's experiment: eleven instances, one of which takes twice as long as the callers wait.

Real processes: eleven instances, the gateway as an operator starts it, and calls that start when their time
has come. The gateway repeats nothing, and but for the rows that say so puts no instance aside: what fails is
what the strategy sends to the slow one. Beside it the same in virtual time (tests/balancer/simulation/).
"""

import asyncio
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from aiohttp import ClientSession, TCPConnector

from balancer.strategies import STRATEGIES
from bench import quaymaster
from bench.calls import get
from bench.machine import GATEWAY_CORE, LOAD_CORE
from bench.paths import SMALL
from bench.peers.base import Place
from bench.processes import Launch, running, until
from bench.report import Goal, Options, Report, Row, percentile
from tests.balancer.simulation.one_slow import FAST_S, INSTANCES, SLOW_S, TIMEOUT_S, USERS, Load, simulate
from tests.servers import free_ports

PER_S = 100.0
SECONDS = 60.0
QUICK_SECONDS = 6.0
EJECTION_OFF = {"connect_failures": 0, "server_errors": 0, "success_rate": 0}
BY_CALLER = {"rendezvous": {"hash": {"by": "header", "name": "X-Caller"}}}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {"ejection": EJECTION_OFF, **BY_CALLER.get(name, {})}) for name in STRATEGIES},
    "round_robin, ejection on": ("round_robin", {}),
    "least_connections, ejection on": ("least_connections", {}),
}


def measure(options: Options) -> Report:
    load = Load(PER_S, QUICK_SECONDS if options.quick else SECONDS, options.seed)
    rows = []
    with TemporaryDirectory() as folder, eleven(Path(folder)) as ports:
        for case, (strategy, more) in CASES.items():
            place = Place(free_ports(1)[0], ports, Path(folder))
            with gateway(place, settings(place, strategy, more), options) as port:
                figures = asyncio.run(taken(port, load))
            if case == strategy:
                figures["simulated"] = round(simulate(strategy, load).success * 100, 2)
            rows.append(Row(case, figures))
    found = {row.case: row.figures["success"] for row in rows}
    return Report(
        measurement="one-slow",
        title=f"Eleven instances, one of which takes {SLOW_S:g} s where callers wait {TIMEOUT_S:g} s",
        rows=tuple(rows),
        goals=(
            goal("least_connections", "round_robin", found),
            goal("peak_ewma", "least_connections", found),
        ),
        notes=(
            f"{PER_S:g} calls/s for {load.seconds:g} s, open loop, Poisson starts; no retries",
            f"the ten others take {FAST_S * 1000:g} ms on average, exponentially distributed",
            "simulated: the strategy alone, in virtual time, with the same figures",
        ),
    )


def goal(better: str, worse: str, found: dict[str, float]) -> Goal:
    text = f"calls that succeed, {better} above {worse}, points"
    return Goal(text, round(found[better] - found[worse], 2), "at least", 0.0)


@contextmanager
def eleven(folder: Path) -> Iterator[tuple[int, ...]]:
    """The ports of instances, each a process; the last is the slow one."""
    ports = tuple(free_ports(INSTANCES))
    takes = [("--takes", str(FAST_S))] * (INSTANCES - 1) + [("--takes", str(SLOW_S), "--exactly")]
    with ExitStack() as stack:
        processes = []
        for port, how in zip(ports, takes, strict=True):
            launch = Launch((sys.executable, "-m", "bench.instance", str(port), *how))
            log = folder / f"instance-{port}.log"
            processes.append(stack.enter_context(running(launch, LOAD_CORE, log)))
        for port, process in zip(ports[:-1], processes, strict=False):
            until(lambda port=port: get(port, SMALL) == 200, process)  # type: ignore[misc]  # binds the port
        yield ports


def settings(place: Place, strategy: str, more: dict[str, Any]) -> dict[str, Any]:
    base = quaymaster.settings_off(place)
    service = base["services"]["bench"] | {
        "strategy": strategy,
        "max_attempts": 1,
        "timeouts": {"first_byte_s": TIMEOUT_S},
        **more,
    }
    return base | {"services": {"bench": service}}


@contextmanager
def gateway(place: Place, told: dict[str, Any], options: Options) -> Iterator[int]:
    launch = quaymaster.launcher(lambda _: told, options.tree)(place)
    with running(launch, GATEWAY_CORE, place.folder / "gateway.log") as process:
        until(lambda: get(place.port, "/health/live") == 200, process)
        yield place.port


async def taken(port: int, load: Load) -> dict[str, float]:
    """Calls that start when their time has come, and how they went."""
    rng, good, bad = random.Random(load.seed), list[float](), list[float]()
    callers, url = random.Random(load.seed), f"http://127.0.0.1:{port}{SMALL}"

    async def call(session: ClientSession) -> None:
        started = perf_counter()
        async with session.get(url, headers={"X-Caller": str(callers.randrange(USERS))}) as answer:
            await answer.read()
        (good if answer.status == 200 else bad).append(perf_counter() - started)

    async with ClientSession(connector=TCPConnector(limit=0)) as session, asyncio.TaskGroup() as calls:
        due = perf_counter()
        end = due + load.seconds
        while (due := due + rng.expovariate(load.per_s)) < end:
            await asyncio.sleep(due - perf_counter())
            calls.create_task(call(session))
    return {
        "count": len(good) + len(bad),
        "success": round(100 * len(good) / (len(good) + len(bad)), 2),
        **latencies([*good, *bad]),
    }


def latencies(seconds: Sequence[float]) -> dict[str, float]:
    return {
        name: round(percentile(seconds, share) * 1e3, 1)
        for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99))
    }
