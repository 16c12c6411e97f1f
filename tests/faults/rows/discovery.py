"""Rows of discovery beyond the matrix: the gateway's own checks, several agents, an address of another.

None is quick: what decides here is tested by itself in tests/registry.
"""

import asyncio
import signal
import time
from typing import Any

import aiohttp

from tests.faults.figure import Figure, figure, ms
from tests.faults.load import load
from tests.faults.rig import Rig, Stage, came_true, own_consul
from tests.faults.rows.base import Row
from tests.faults.rows.registry import own_cluster, until_new_one_serves

WARM_S = 1.0
OWN_CHECKS: dict[str, Any] = {
    "health_check": {
        "interval_s": 1,
        "timeout_s": 0.5,
        "down": 1,
        "up": 1,
        "expect_headers": {"X-Instance": "{id}"},
    }
}


async def with_verdict(rig: Rig, verdict: str) -> set[str]:
    """The instances of which the gateway's own checks say that."""
    found = (await rig.gateway.detailed())["services"][rig.service]["instances"]
    return {one["id"] for one in found if one["verdict"] == verdict}


async def until_verdict(rig: Rig, verdict: str, names: set[str]) -> float | None:
    async def is_so() -> bool:
        return await with_verdict(rig, verdict) == names

    return await came_true(is_so, 20)


async def f9_own(stage: Stage) -> Figure:
    """The instances feed a TTL of ten seconds, so that the gateway's own checks are first to notice."""
    made = Figure("F9-own")
    async with stage.rig("F9-own", policy=OWN_CHECKS) as rig:
        everybody = {one.name for one in rig.instances}
        ready_s = await until_verdict(rig, "up", everybody)
        _, dies, hangs = rig.instances
        await dies.kill()
        killed_s = await until_verdict(rig, "down", {dies.name})
        hangs.pause()
        hung_s = await until_verdict(rig, "down", {dies.name, hangs.name})
        hangs.resume()
        back_s = await until_verdict(rig, "down", {dies.name})
        made.note(f"killed: down after {ms(killed_s)}; stopped: after {ms(hung_s)}; back after {ms(back_s)}")
        made.note("interval 1 s, time-out 0.5 s, one answer decides")
        made.check("everybody is up soon", ready_s is not None)
        made.check("a dead one is not used after interval + 100 ms", killed_s is not None and killed_s < 1.3)
        made.check("nor a hanging one after its time-out too", hung_s is not None and hung_s < 1.8)
        made.check("and it comes back", back_s is not None)
    return made


async def c2_own(stage: Stage) -> Figure:
    """Consul comes back empty, and a loss is doubted for less time than instances take to register anew."""
    async with (
        own_consul() as agent,
        stage.rig("C2-own", consul=agent.address, policy=OWN_CHECKS, registry={"suspect_s": 1}) as rig,
    ):
        there = {one.name for one in rig.instances}
        await until_verdict(rig, "up", there)
        least = len(there)
        async with load(*rig.ports, methods=["GET"]) as under:
            await asyncio.sleep(WARM_S)
            await asyncio.to_thread(agent.stop)
            await asyncio.to_thread(agent.start)
            until = time.monotonic() + stage.seconds(5, 20)
            while time.monotonic() < until:
                least = min(least, len(await with_verdict(rig, "up")))
                await asyncio.sleep(0.1)
        made = figure("C2-own", under.ledger, rig.seen())
        made.note(f"at least {least} of {len(there)} used at any moment")
        made.check("nothing failed", not under.ledger.failed)
        made.check("no instance was lost", least == len(there))
        return made


async def c6_next(stage: Stage) -> Figure:
    wait_s = stage.seconds(1, 30)
    bound_s = wait_s * 17 / 16 + 5
    async with own_cluster(stage, "C6-next", 3) as consul:
        home, *others = [server.address for server in consul.servers]
        registry = {"wait_s": wait_s, "fallback_addresses": others}
        async with (
            stage.rig("C6-next", consul=home, registry=registry) as rig,
            load(*rig.ports) as under,
        ):
            await asyncio.sleep(WARM_S)
            consul.servers[0].send(signal.SIGSTOP)
            left_s = await came_true(lambda: has_moved(rig, 1), bound_s + 10)
            consul.servers[0].send(signal.SIGCONT)
            home_s = await came_true(lambda: has_moved(rig, 2), 90)
            seen_s = await until_new_one_serves(rig)
        made = figure("C6-next", under.ledger, rig.seen())
        made.note(f"left after {ms(left_s)} (target {bound_s:.1f} s), home {ms(home_s)} after it was back")
        made.note(f"the next registration used after {ms(seen_s)}")
        made.check("nothing failed", not under.ledger.failed)
        made.check("another agent is asked in time", left_s is not None and left_s <= bound_s)
        made.check("and home again once it answers", home_s is not None and seen_s is not None)
        return made


async def has_moved(rig: Rig, times: int) -> bool:
    return await rig.gateway.total("quaymaster_discovery_failovers_total") >= times


async def r7(stage: Stage) -> Figure:
    """An id whose address now belongs to another process: it answers, and is not who it should be."""
    async with stage.rig("R7", policy=OWN_CHECKS) as rig:
        everybody = {one.name for one in rig.instances}
        await until_verdict(rig, "up", everybody)
        found = (await rig.gateway.detailed())["services"][rig.service]["instances"]
        port = int(found[0]["url"].rpartition(":")[2])
        ghost = {"Name": rig.service, "ID": "ghost", "Address": "127.0.0.1", "Port": port}
        async with (
            aiohttp.ClientSession() as session,
            session.put(f"http://{rig.consul}/v1/agent/service/register", json=ghost) as answer,
        ):
            assert answer.status == 200
        down_s = await until_verdict(rig, "down", {"ghost"})
        async with load(*rig.ports, per_s=50) as under:
            await asyncio.sleep(stage.seconds(2, 10))
        made = figure("R7", under.ledger, rig.seen())
        made.note(f"known for a ghost after {ms(down_s)}")
        made.check("nothing failed", not under.ledger.failed)
        made.check("the ghost is not used", down_s is not None)
        made.check("the others are", await with_verdict(rig, "up") == everybody)
        return made


ROWS = (
    Row(
        "F9-own",
        "dies or hangs, by the gateway's own checks",
        "≤ interval (+ time-out) + 100 ms",
        f9_own,
        False,
    ),
    Row("C2-own", "Consul restarts empty, own checks on", "0 failed while instances answer", c2_own, False),
    Row(
        "C6-next", "SIGSTOP of an agent, and others are there", "left ≤ wait + wait/16 + 5 s", c6_next, False
    ),
    Row("R7", "an address that changed hands", "its old id is not used", r7, False),
)
