"""Rows C1 to C8, and the restart of all Consul servers: the registry dies, forgets, hangs or lies."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import aiohttp

from tests.faults.cluster import Cluster, cluster
from tests.faults.figure import Figure, figure, ms
from tests.faults.load import load
from tests.faults.rig import (
    GatewayProcess,
    Rig,
    Stage,
    came_true,
    eventually,
    own_consul,
    settings_of,
)
from tests.faults.rows.base import Row

WARM_S = 1.0
FAILURES = "quaymaster_discovery_failures_total"
CHURN_PER_S = 50


@asynccontextmanager
async def own_cluster(stage: Stage, row: str, servers: int) -> AsyncIterator[Cluster]:
    """Servers that a row may hurt; they keep what they know on disk."""
    with ExitStack() as stack:
        made = cluster(stage.folder / f"{row.lower()}-consul", servers)
        yield await asyncio.to_thread(stack.enter_context, made)


async def until_new_one_serves(rig: Rig, within_s: float = 60) -> float | None:
    """Starts one more instance: seconds from its registration until the gateway uses it."""
    fresh = rig.new_instance()
    fresh.start()

    async def is_registered() -> bool:
        return "registered" in fresh.last_words()

    async def is_used() -> bool:
        return fresh.name in await rig.gateway.usable(rig.service)

    if await came_true(is_registered, within_s) is None:
        return None
    return await came_true(is_used, within_s)


async def ages_s(gateway: GatewayProcess, service: str) -> float:
    """How old the gateway's view of the service is, as it tells itself."""
    found = await gateway.metrics()
    return found[f'quaymaster_discovery_age_seconds{{service="{service}"}}']


async def c1(stage: Stage) -> Figure:
    async with own_cluster(stage, "C1", 1) as consul, stage.rig("C1", consul=consul.address) as rig:
        there = {one.name for one in rig.instances}
        async with load(*rig.ports) as under:
            await asyncio.sleep(WARM_S)
            await consul.client.kill()
            await asyncio.sleep(stage.seconds(3, 60))
            frozen = await rig.gateway.usable(rig.service) == there
            age_s = await ages_s(rig.gateway, rig.service)
            consul.client.start()
            await asyncio.to_thread(consul.until_led)
            led_at = time.monotonic()

            async def is_fresh() -> bool:
                return await ages_s(rig.gateway, rig.service) < time.monotonic() - led_at

            resume_s = await came_true(is_fresh, 30)
            seen_s = await until_new_one_serves(rig)
        made = figure("C1", under.ledger, rig.seen())
        made.note(f"view {ms(age_s)} old before the return, watch resumed {ms(resume_s)} after it")
        made.note(f"the next registration used after {ms(seen_s)}")
        made.check("nothing failed", not under.ledger.failed)
        made.check("the instances stayed as they were", frozen)
        made.check("the age of the view is told", age_s >= stage.seconds(2, 59))
        made.check("the watch resumed", resume_s is not None and seen_s is not None)
        return made


async def c2(stage: Stage) -> Figure:
    """The instances' heartbeats find out what the agent forgot; until then they are suspects that answer."""
    async with own_consul() as agent, stage.rig("C2", consul=agent.address) as rig:
        there = {one.name for one in rig.instances}
        least = len(there)
        async with load(*rig.ports) as under:
            await asyncio.sleep(WARM_S)
            await asyncio.to_thread(agent.stop)
            await asyncio.to_thread(agent.start)
            empty_until = time.monotonic() + stage.seconds(5, 60)
            while time.monotonic() < empty_until:
                least = min(least, len(await rig.gateway.usable(rig.service)))
                await asyncio.sleep(0.05)
            # And then it is followed again.
            gone = rig.instances[0]
            await gone.stop()
            rig.retire(gone)
            followed = await came_true(lambda: follows(rig), 20)
        made = figure("C2", under.ledger, rig.seen())
        made.note(f"at least {least} of {len(there)} used at any moment, then followed in {ms(followed)}")
        made.check("nothing failed", not under.ledger.failed)
        made.check("no instance was lost", least == len(there))
        made.check("what the registry says counts again", followed is not None)
        return made


async def follows(rig: Rig) -> bool:
    return await rig.gateway.usable(rig.service) == {one.name for one in rig.instances}


async def c3(stage: Stage) -> Figure:
    """The agent restarts empty, so its index starts anew far below the one that the watch has."""
    async with own_consul() as agent, stage.rig("C3", instances=2, consul=agent.address) as rig:
        # Some history, so that the index goes back and not only on.
        async with aiohttp.ClientSession() as session:
            for number in range(50):
                await register(session, agent.address, rig.service + "-x", number)
        async with load(*rig.ports, per_s=30) as under:
            await asyncio.to_thread(agent.stop)
            await asyncio.to_thread(agent.start)
            seen_s = await until_new_one_serves(rig)
        resets = await rig.gateway.total("quaymaster_discovery_index_resets_total")
        made = figure("C3", under.ledger, rig.seen())
        made.note(f"a new registration is used after {ms(seen_s)}, {resets:g} index resets noticed")
        made.check("nothing failed", not under.ledger.failed)
        made.check(
            "the new registration is used, long before the poll's end", seen_s is not None and seen_s < 15
        )
        return made


async def c4(stage: Stage) -> Figure:
    async with own_cluster(stage, "C4", 3) as consul, stage.rig("C4", consul=consul.address) as rig:
        async with load(*rig.ports) as under:
            await asyncio.sleep(WARM_S)
            failures = await rig.gateway.total(FAILURES)
            leader = await asyncio.to_thread(consul.leader)
            at = time.monotonic()
            await leader.kill()
            await asyncio.to_thread(consul.until_led)
            leaderless_s = time.monotonic() - at
            failures = await rig.gateway.total(FAILURES) - failures
            await asyncio.sleep(stage.seconds(1, 15))
            seen_s = await until_new_one_serves(rig)
            leader.start()
        made = figure("C4", under.ledger, rig.seen())
        made.note(f"no leader for {ms(leaderless_s)}, {failures:g} failed answers to 2 watches meanwhile")
        made.note(f"the next registration used after {ms(seen_s)}")
        made.check("nothing failed", not under.ledger.failed)
        made.check("at most one question a second and watch", failures <= 2 * (leaderless_s + 2))
        made.check("discovery goes on", seen_s is not None)
        return made


async def c5(stage: Stage) -> Figure:
    async with own_cluster(stage, "C5", 3) as consul, stage.rig("C5", consul=consul.address) as rig:
        there = {one.name for one in rig.instances}
        async with load(*rig.ports) as under:
            await asyncio.sleep(WARM_S)
            lost = consul.servers[:2]
            for server in lost:
                await server.kill()
            await asyncio.sleep(stage.seconds(5, 30))
            kept = await rig.gateway.usable(rig.service) == there
            peers = await asyncio.gather(*(peer_s(rig) for _ in range(5)))
            for server in lost:
                server.start()
            await asyncio.to_thread(consul.until_led)
            seen_s = await until_new_one_serves(rig)
        made = figure("C5", under.ledger, rig.seen())
        made.note(f"meanwhile /get_service_instance took {ms(max(peers))} at most")
        made.note(f"with the quorum back, the next registration used after {ms(seen_s)}")
        made.check("nothing failed", not under.ledger.failed)
        made.check("the instances stayed as they were", kept)
        made.check("nobody waited for Consul", max(peers) < 1)
        made.check("discovery goes on", seen_s is not None)
        return made


async def peer_s(rig: Rig) -> float:
    started = time.monotonic()
    answer = await rig.gateway.ask(f"/get_service_instance?service_name={rig.service}")
    assert answer.status == 200, answer
    return time.monotonic() - started


async def c6(stage: Stage) -> Figure:
    wait_s = stage.seconds(1, 30)
    bound_s = wait_s * 17 / 16 + 5
    async with (
        own_consul() as agent,
        stage.rig("C6", consul=agent.address, registry={"wait_s": wait_s}) as rig,
        load(*rig.ports, methods=["GET"]) as under,
    ):
        await asyncio.sleep(WARM_S)
        before = await rig.gateway.total(FAILURES)
        agent.pause()
        at = time.monotonic()
        await rig.instances[0].kill()

        async def is_noticed() -> bool:
            return await rig.gateway.total(FAILURES) > before

        noticed = await came_true(is_noticed, bound_s + 10)
        noticed_s = None if noticed is None else time.monotonic() - at
        aside = rig.instances[0].name not in await rig.gateway.usable(rig.service)
        agent.resume()
        seen_s = await until_new_one_serves(rig)
    made = figure("C6", under.ledger, rig.seen())
    made.note(f"wait {wait_s:g} s: noticed after {ms(noticed_s)} (target {bound_s:.1f} s)")
    made.note(f"the next registration used after {ms(seen_s)}")
    made.check("no GET failed, though an instance died meanwhile", not under.ledger.failed)
    made.check("the half-open poll was noticed", noticed_s is not None)
    made.check("the dead instance was put aside without Consul", aside)
    made.check("discovery goes on", seen_s is not None)
    return made


async def register(session: aiohttp.ClientSession, address: str, service: str, number: int) -> None:
    body = {"ID": f"{service}-{number}", "Name": service, "Address": "127.0.0.1", "Port": 9}
    async with session.put(f"http://{address}/v1/agent/service/register", json=body) as answer:
        assert answer.status == 200, await answer.text()


async def deregister(session: aiohttp.ClientSession, address: str, service: str, number: int) -> None:
    async with session.put(f"http://{address}/v1/agent/service/deregister/{service}-{number}") as answer:
        assert answer.status == 200, await answer.text()


async def c7(stage: Stage) -> Figure:
    async with own_consul() as agent, stage.rig("C7", consul=agent.address) as rig:
        churned, seconds = f"{rig.service}-x", stage.seconds(4, 60)
        async with aiohttp.ClientSession() as session, load(*rig.ports, per_s=30) as under:
            await register(session, agent.address, churned, 0)
            await eventually(lambda: knows(rig, churned, {f"{churned}-0"}))
            cpu_s, due = rig.gateway.cpu_s(), time.monotonic()
            for number in range(1, int(seconds * CHURN_PER_S)):
                await register(session, agent.address, churned, number)
                if number > 10:
                    await deregister(session, agent.address, churned, number - 10)
                due += 1 / CHURN_PER_S
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            cpu_s = rig.gateway.cpu_s() - cpu_s
            last = int(seconds * CHURN_PER_S) - 1
            wanted = {f"{churned}-{number}" for number in (0, *range(last - 9, last + 1))}
            right_s = await came_true(lambda: knows(rig, churned, wanted), 10)
            polls = await polls_in_last_interval(session, agent.address)
        made = figure("C7", under.ledger, rig.seen())
        made.note(f"view right {ms(right_s)} after the last of {last} registrations")
        made.note(f"gateway's CPU {cpu_s / seconds:.0%}, with a load of 30 calls/s")
        made.note(f"Consul counted {polls:.1f} reads of services a second")
        made.check("nothing failed", not under.ledger.failed)
        made.check("the view is right in the end", right_s is not None)
        return made


async def knows(rig: Rig, service: str, wanted: set[str]) -> bool:
    # The question makes the gateway watch that service.
    await rig.gateway.ask(f"/get_service_instance?service_name={service}")
    return await rig.gateway.usable(service) == wanted


async def polls_in_last_interval(session: aiohttp.ClientSession, address: str) -> float:
    """Health reads a second over all services, by Consul's own count of ten seconds."""
    async with session.get(f"http://{address}/v1/agent/metrics") as answer:
        told = await answer.json()
    reads = [one for one in told["Samples"] if one["Name"].startswith("consul.http.GET.v1.health")]
    return sum(float(one["Count"]) for one in reads) / 10


async def c8(stage: Stage) -> Figure:
    file = str(stage.folder / "snapshot")
    made = Figure("C8")
    async with own_consul() as agent:
        async with stage.rig("C8", consul=agent.address, registry={"snapshot_file": file}) as rig:
            async with load(*rig.ports, per_s=30) as under:
                await asyncio.sleep(2)
            await rig.gateway.kill()
            await asyncio.to_thread(agent.stop)
            blind = settings_of(rig.service, agent.address)
            rig.gateways.append(GatewayProcess("blind", blind, rig.folder))
            for gateway in rig.gateways:
                gateway.start()

            async def both_live() -> bool:
                return {await gateway.status("/health/live") for gateway in rig.gateways} == {200}

            alive = await came_true(both_live, 15)
            ready_s = await came_true(rig.gateways[0].is_ready, 15)
            async with load(rig.gateways[0].port, per_s=30) as cold:
                await asyncio.sleep(2)
            unready = await rig.gateways[1].status("/health/ready")
            await asyncio.to_thread(agent.start)
            came = await came_true(rig.gateways[1].is_ready, 30)
        under.ledger.calls.extend(cold.ledger.calls)
        made = figure("C8", under.ledger, rig.seen())
        made.note(f"live {ms(alive)} after the start, with a snapshot ready {ms(ready_s)} later")
        made.note(f"without one: /health/ready {unready}, and ready {ms(came)} after Consul is there")
        made.check(
            "it serves from the snapshot, and nothing fails", ready_s is not None and not cold.ledger.failed
        )
        made.check("without one it lives and is not ready", alive is not None and unready == 503)
        made.check("it is ready once Consul is there", came is not None)
        return made


async def servers_restart(stage: Stage) -> Figure:
    async with own_cluster(stage, "deploy", 3) as consul, stage.rig("CR", consul=consul.address) as rig:
        there, least = {one.name for one in rig.instances}, 3
        async with load(*rig.ports) as under:
            for server in consul.servers:
                await server.stop()
                await asyncio.sleep(stage.seconds(0.5, 5))
                server.start()
                await asyncio.to_thread(consul.until_led)
                least = min(least, len(await rig.gateway.usable(rig.service)))
            seen_s = await until_new_one_serves(rig)
        made = figure("deploy-consul", under.ledger, rig.seen())
        made.note(f"the next registration used after {ms(seen_s)}")
        made.check("nothing failed", not under.ledger.failed)
        made.check("no instance was lost", least == len(there))
        made.check("discovery goes on", seen_s is not None)
        return made


ROWS = (
    Row("C1", "Consul agent kill -9, back with its data", "0 failed, view frozen, resumes ≤ 5 s", c1),
    Row(
        "C2",
        "Consul restarts empty",
        "0 failed while instances answer; then it is followed",
        c2,
        quick=False,
    ),
    Row("C3", "Consul's index goes backwards", "a new registration seen ≤ 1 s", c3, quick=False),
    Row("C4", "leader of three servers killed", "0 failed, ≤ 1 question/s and watch", c4, quick=False),
    Row("C5", "quorum lost", "0 failed, nobody waits > 1 s on Consul", c5, quick=False),
    Row("C6", "SIGSTOP of the agent: a half-open poll", "noticed ≤ wait + wait/16 + 5 s", c6, quick=False),
    Row(
        "C7", "50 registrations/s", "≤ 2 calls/s and service, CPU < 10 %, right ≤ 1 s after", c7, quick=False
    ),
    Row(
        "C8",
        "gateway starts while Consul is down",
        "live, not ready; serves from a snapshot",
        c8,
        quick=False,
    ),
    Row("deploy-consul", "rolling restart of three servers", "0 failed", servers_restart, quick=False),
)
