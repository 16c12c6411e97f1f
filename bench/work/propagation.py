"""From a registration on a real Consul agent to the snapshot that the next pick reads.

Measured from before the call that registers (or deregisters) to the moment the watcher publishes a
snapshot that shows it. So the figure holds the agent's HTTP answer, its own catalogue, the blocking
query and the watcher.
"""

import asyncio
import random
import subprocess
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from time import perf_counter

from bench.report import Goal, Options, Report, Row, times_ms
from registry.backends import load_backend
from registry.backends.base import BackendSettings, Registrar, Registration
from registry.blocking import QUERIES_PER_S
from registry.model import InstanceId, ServiceName, ServiceSnapshot
from registry.runtime.watcher import Watcher
from tests.servers import ConsulAgent, consul_agent

GOAL_P99_MS = 50.0
WATCHED = (1, 20)
"""Services in each case; every change is in one of them, drawn at random."""
PATIENCE_S = 30.0
CHANGES = 50
"""Of each kind in each case; a tenth of that for a quick look."""


class Arrival:
    """Tells when an instance appears in, or leaves, what the watcher publishes."""

    def __init__(self) -> None:
        self._instance: InstanceId | None = None
        self._shown = False
        self._seen_at = asyncio.get_running_loop().create_future()

    def expect(self, instance: InstanceId, *, shown: bool) -> None:
        self._instance, self._shown = instance, shown
        self._seen_at = asyncio.get_running_loop().create_future()

    def __call__(self, snapshot: ServiceSnapshot) -> None:
        usable = any(known.id == self._instance for known in snapshot.usable)
        if usable == self._shown and not self._seen_at.done():
            self._seen_at.set_result(perf_counter())

    async def after(self, change: Awaitable[None]) -> float:
        """Seconds from the start of `change` until the expected is published."""
        started = perf_counter()
        async with asyncio.timeout(PATIENCE_S):
            await change
            return float(await self._seen_at) - started


def registration(service: ServiceName, name: str) -> Registration:
    return Registration(InstanceId(name), service, port=9000, address="127.0.0.1", ttl_s=600.0)


async def watched_service(registrar: Registrar, watcher: Watcher, service: ServiceName) -> Arrival:
    """Watches a service with one instance that stays, so that no change is its first or last."""
    arrival = Arrival()
    watcher.pin(service)
    watcher.subscribe(service, arrival)
    stays = registration(service, f"{service}-stays")
    arrival.expect(stays.id, shown=True)
    await arrival.after(registrar.register(stays))
    return arrival


async def case(agent: ConsulAgent, watched: int, options: Options) -> list[Row]:
    rng = random.Random(options.seed)
    services = [ServiceName(f"bench-{watched}-{number}") for number in range(watched)]
    appeared: list[float] = []
    left: list[float] = []
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(load_backend("consul")(BackendSettings(agent.address)))
        assert backend.registrar is not None
        watcher = await stack.enter_async_context(Watcher(backend.watch))
        arrivals = {name: await watched_service(backend.registrar, watcher, name) for name in services}
        for number in range(CHANGES // 10 if options.quick else CHANGES):
            service = rng.choice(services)
            comes = registration(service, f"{service}-{number}")
            await rest(rng)
            arrivals[service].expect(comes.id, shown=True)
            appeared.append(await arrivals[service].after(backend.registrar.register(comes)))
            await rest(rng)
            arrivals[service].expect(comes.id, shown=False)
            left.append(await arrivals[service].after(backend.registrar.deregister(comes.id)))
    name = f"{watched} watched service{'s' if watched > 1 else ''}"
    return [
        Row(f"{name}, register", times_ms(appeared)),
        Row(f"{name}, deregister", times_ms(left)),
    ]


async def rest(rng: random.Random) -> None:
    """Changes that come faster than a watch may ask are answered together: that limit is wanted, and
    is not what is measured here."""
    await asyncio.sleep((1.0 + rng.random() / 4) / QUERIES_PER_S)


def measure(options: Options) -> Report:
    rows: list[Row] = []
    with consul_agent() as agent:
        for watched in WATCHED:
            rows += asyncio.run(case(agent, watched, options))
    worst = max(row.figures["p99_ms"] for row in rows)
    return Report(
        measurement="propagation",
        title="A change in Consul, until the next pick uses it",
        rows=tuple(rows),
        goals=(Goal("the worst p99, ms", worst, "at most", GOAL_P99_MS),),
        notes=(
            "from before the call that changes the registry to the watcher's publication of the change",
            f"one `consul agent -dev` on the same machine; at most {QUERIES_PER_S:g} changes a second",
        ),
        programs={"Consul": version(agent)},
    )


def version(agent: ConsulAgent) -> str:
    ran = subprocess.run([agent.program, "version"], capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()[0].removeprefix("Consul ")
