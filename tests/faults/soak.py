"""`make soak`: half an hour of random faults under a load that never stops, and nothing may leak.

`python -m tests.faults.soak SECONDS [--seed N]`. The same seed gives the same faults in the same order. The
first gateway lives through all of it and is the one that is measured; the second is also killed and stopped.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from bisect import bisect
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.machine import machine
from tests.faults.cluster import Cluster, cluster
from tests.faults.figure import Figure, figure
from tests.faults.ledger import Call
from tests.faults.load import Load, load
from tests.faults.rig import (
    GatewayProcess,
    InstanceProcess,
    Rig,
    came_true,
    eventually,
    stage,
)
from tests.faults.rows.gateways import DOWNLOAD, UPLOAD, leaves
from tests.faults.rows.store import SEATS_PER_S, are_there, asking_as, handler, settings_with
from tests.servers import RedisServer, own_redis

SEED = 20261121
INSTANCES = 4
SAMPLE_S = 5.0
QUIET_S = (0.5, 3.0)
"""Between two faults."""
IDLE_S = 20.0
"""Kept connections are closed within it once there is no load."""
FLAT = 0.05
"""Memory may not grow by more from the first half's middle to the end."""
SPARE_DESCRIPTORS = 4
"""A connection to Consul or Redis more or less is no leak."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A gateway at one moment. `tasks` is `None` where it does not tell."""

    at: float
    rss_bytes: int
    descriptors: int
    tasks: int | None


def growth(values: list[float]) -> float:
    """From the median of the second quarter to that of the last one, as a share of the former.

    The first quarter is left out: caches fill, and the allocator takes what it will keep.
    """
    quarter = max(1, len(values) // 4)
    early, late = median(values[quarter : 2 * quarter] or values), median(values[-quarter:])
    return (late - early) / early if early else 0.0


@dataclass(slots=True)
class Soak:
    """The faults, each of which heals what it has hurt before it returns."""

    rig: Rig
    consul: Cluster
    redis: RedisServer
    rng: random.Random
    done: Counter[str] = field(default_factory=Counter)
    begun: list[tuple[float, str]] = field(default_factory=list)
    """When each fault began."""

    def faults(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {
            "instance killed": self.instance_killed,
            "instance stopped": self.instance_stopped,
            "instance broken": self.instance_broken,
            "instance deployed": self.instance_deployed,
            "consul killed": self.consul_killed,
            "consul stopped": self.consul_stopped,
            "redis killed": self.redis_killed,
            "redis stopped": self.redis_stopped,
            "gateway stopped": self.gateway_stopped,
            "gateway killed": self.gateway_killed,
            "gateway restarted": self.gateway_restarted,
            "clients leave": self.clients_leave,
        }

    async def run(self, seconds: float) -> None:
        faults, until = self.faults(), time.monotonic() + seconds
        while time.monotonic() < until:
            name = self.rng.choice(list(faults))
            self.begun.append((time.monotonic(), name))
            await faults[name]()
            self.done[name] += 1
            await asyncio.sleep(self.rng.uniform(*QUIET_S))

    async def a_while(self) -> None:
        await asyncio.sleep(self.rng.uniform(0.2, 4))

    def blamed(self, calls: list[Call]) -> dict[str, int]:
        """How many of the calls were sent after which fault, and before the next."""
        times = [at for at, _ in self.begun]
        after = (bisect(times, call.sent_at) - 1 for call in calls)
        return dict(Counter(self.begun[number][1] if number >= 0 else "start" for number in after))

    def any_instance(self) -> InstanceProcess:
        return self.rng.choice(self.rig.instances)

    async def instance_killed(self) -> None:
        victim = self.any_instance()
        await victim.kill()
        await self.a_while()
        victim.start()

    async def instance_stopped(self) -> None:
        victim = self.any_instance()
        victim.pause()
        await self.a_while()
        victim.resume()

    async def instance_broken(self) -> None:
        victim = self.any_instance()
        await victim.fault(self.rng.choice(["answers_500", "resets_before_head", "slow", "cuts_body"]))
        await self.a_while()
        await victim.fault("works")

    async def instance_deployed(self) -> None:
        victim = self.any_instance()
        await victim.stop()
        victim.start()

    async def consul_killed(self) -> None:
        await self.consul.client.kill()
        await self.a_while()
        self.consul.client.start()
        await asyncio.to_thread(self.consul.until_led)

    async def consul_stopped(self) -> None:
        self.consul.client.pause()
        await self.a_while()
        self.consul.client.resume()

    async def redis_killed(self) -> None:
        await asyncio.to_thread(self.redis.stop)
        await self.a_while()
        await asyncio.to_thread(self.redis.start)

    async def redis_stopped(self) -> None:
        self.redis.pause()
        await self.a_while()
        self.redis.resume()

    async def gateway_stopped(self) -> None:
        victim = self.rng.choice(self.rig.gateways)
        victim.pause()
        await asyncio.sleep(self.rng.uniform(0.1, 1))
        victim.resume()

    async def gateway_killed(self) -> None:
        victim = self.rig.gateways[1]
        await victim.kill()
        victim.start()
        await came_true(victim.is_ready, 15)

    async def gateway_restarted(self) -> None:
        victim = self.rig.gateways[1]
        await victim.stop()
        victim.start()
        await came_true(victim.is_ready, 15)

    async def clients_leave(self) -> None:
        for _ in range(10):
            try:
                await leaves(self.rig.gateway.port, UPLOAD + b"x" * 10_000, 0)
                await leaves(self.rig.gateway.port, DOWNLOAD, 20)
            except (OSError, asyncio.IncompleteReadError):
                pass  # the gateway had nothing for it: all instances may be away


async def sampled(gateway: GatewayProcess, samples: list[Sample], over: asyncio.Event) -> None:
    while not over.is_set():
        tasks: int | None = None
        try:
            found = await gateway.metrics()
            tasks = int(found["quaymaster_tasks"]) if "quaymaster_tasks" in found else None
        except Exception:  # noqa: BLE001  a gateway that stands still is not measured, whatever reading it raises
            pass
        else:
            samples.append(Sample(time.monotonic(), gateway.rss_bytes(), gateway.descriptors(), tasks))
        await asyncio.sleep(SAMPLE_S)


async def soak(seconds: float, seed: int, folder: Path) -> Figure:
    over, samples = asyncio.Event(), list[Sample]()
    with ExitStack() as stack:
        consul = stack.enter_context(cluster(folder / "consul", 1))
        redis = stack.enter_context(own_redis())
        shared = stack.enter_context(stage(folder, full=True))
        async with shared.rig(
            "soak",
            instances=INSTANCES,
            gateways=2,
            consul=consul.address,
            policy={"connections": {"idle_s": 3}},
            **settings_with(redis),
        ) as rig:
            one = handler(rig, f"{rig.service}-ws")
            one.start()
            stack.callback(one.kill_now)
            # What its start takes is no fault of the first fault's.
            await eventually(lambda: are_there(rig, 1))
            under = Soak(rig, consul, redis, random.Random(seed))
            idle = rig.gateway.descriptors()
            async with (
                load(*rig.ports, per_s=60) as forwarded,
                load(
                    *rig.ports,
                    path="/get_websocket_handler",
                    per_s=SEATS_PER_S,
                    methods=["GET"],
                    headers=asking_as,
                ) as seats,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(sampled(rig.gateway, samples, over))
                await under.run(seconds)
                await eventually(lambda: all_well(rig), 60)
                over.set()
            return await judged(under, forwarded, seats, samples, idle)


async def all_well(rig: Rig) -> bool:
    names = {one.name for one in rig.instances}
    return all([await gateway.usable(rig.service) == names for gateway in rig.gateways])


async def judged(under: Soak, forwarded: Load, seats: Load, samples: list[Sample], idle: int) -> Figure:
    rig = under.rig
    made = figure("soak", forwarded.ledger, rig.seen())
    faults = ", ".join(f"{count} x {name}" for name, count in sorted(under.done.items()))
    made.note(f"{sum(under.done.values())} faults: {faults}")
    gets = forwarded.ledger.of_gateway(rig.gateway.port).of("GET")
    blamed = under.blamed(gets.failed)
    made.note(
        f"{len(gets.failed)} of {len(gets.calls)} GETs failed at the gateway that lived, after {blamed}"
    )
    refused = [call for call in seats.ledger.failed if call.status is not None]
    made.note(
        f"{len(seats.ledger.calls)} seats asked for, {len(refused)} refused after {under.blamed(refused)}"
    )
    memory = growth([float(sample.rss_bytes) for sample in samples])
    made.note(
        f"memory {samples[0].rss_bytes >> 20} to {samples[-1].rss_bytes >> 20} MiB, growth {memory:+.1%}"
    )
    made.check(f"memory grows by no more than {FLAT:.0%}", memory <= FLAT)
    tasks = [float(sample.tasks) for sample in samples if sample.tasks is not None]
    if tasks:
        made.note(f"tasks {tasks[0]:g} to {tasks[-1]:g}")
    made.check("active counts are 0 at the end", await rig.until_active_is_0(20))

    async def are_closed() -> bool:
        return rig.gateway.descriptors() <= idle + SPARE_DESCRIPTORS

    closed_s = await came_true(are_closed, IDLE_S)
    made.note(f"descriptors {idle} before the load, {rig.gateway.descriptors()} after it")
    made.check("descriptors are as before the load", closed_s is not None)
    settled = await came_true(lambda: no_task_left(rig.gateway, tasks), 10)
    made.check("tasks are as many as before", settled is not None)
    return made


async def no_task_left(gateway: GatewayProcess, tasks: list[float]) -> bool:
    """Not more than at the first sample, when there was a load; true where it does not tell."""
    return not tasks or (await gateway.metrics())["quaymaster_tasks"] <= tasks[0]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quaymaster-soak-") as folder:
        shown = asyncio.run(soak(given.seconds, given.seed, Path(folder)))
    facts = ", ".join(f"{name} {value}" for name, value in machine().items())
    sys.stdout.write(f"{shown.line()}\n{given.seconds:g} s, seed {given.seed}. Machine: {facts}.\n")
    return 1 if shown.missed else 0


if __name__ == "__main__":
    sys.exit(main())
