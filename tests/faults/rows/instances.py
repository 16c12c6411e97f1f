"""Rows F1 to F11 and X6: instances that die, hang, lie or leave."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial

from tests.faults.figure import Figure, figure, ms
from tests.faults.ledger import CallLedger, Seen, amplification
from tests.faults.load import load
from tests.faults.rig import Rig, Stage, came_true, eventually, leave, until_answered
from tests.faults.rows.base import Row

WARM_S = 1.0


async def until_aside(rig: Rig, name: str, within_s: float) -> float | None:
    async def is_aside() -> bool:
        return name not in await rig.gateway.usable(rig.service)

    return await came_true(is_aside, within_s)


def hopeless(seen: Sequence[Seen], name: str, at: float) -> int:
    """How many calls that instance had begun and can't have answered when it died."""
    return sum(one.instance == name and at - 0.1 <= one.at <= at for one in seen)


async def killed(stage: Stage, row: str, methods: Sequence[str]) -> tuple[Figure, CallLedger, float]:
    async with stage.rig(row) as rig:
        victim = rig.instances[0]
        async with load(*rig.ports, methods=methods) as under:
            await asyncio.sleep(WARM_S)
            at = time.monotonic()
            await victim.kill()
            eject_s = await until_aside(rig, victim.name, 5)
            await asyncio.sleep(stage.seconds(2.5, 20))
        made = figure(row, under.ledger, rig.seen())
        made.note(f"ejected after {ms(eject_s)}")
        made.check("the killed instance was put aside", eject_s is not None)
        made.check("active counts are 0 at the end", await rig.until_active_is_0())
        return made, under.ledger, at


async def f1(stage: Stage) -> Figure:
    made, ledger, _ = await killed(stage, "F1", ["GET"])
    made.check("no GET failed", not ledger.failed)
    return made


async def f2(stage: Stage) -> Figure:
    made, ledger, at = await killed(stage, "F2", ["POST"])
    late = ledger.since(at + 1).failed
    made.check("at most the 2 POSTs that it had in hand failed", len(ledger.failed) <= 2)
    made.check("none failed later", not late)
    return made


async def f3(stage: Stage) -> Figure:
    async with stage.rig("F3") as rig:
        victim = rig.instances[0]
        async with load(*rig.ports, methods=["GET"]) as under:
            await asyncio.sleep(WARM_S)
            victim.pause()
            eject_s = await until_aside(rig, victim.name, stage.seconds(5, 20))
            healed_at = time.monotonic()
            victim.resume()
            return_s = await until_answered(under, victim.name, healed_at, 40)
        paid = await rig.gateway.tries_that_ended("wait_timeout")
        made = figure("F3", under.ledger, rig.seen())
        made.note(
            f"{paid} calls waited for it in vain, ejected after {ms(eject_s)}, back after {ms(return_s)}"
        )
        made.check("no GET failed", not under.ledger.failed)
        made.check("at most 5 calls paid the time-out", 1 <= paid <= 5)
        made.check("used again once it answers", return_s is not None)
        return made


async def f4(stage: Stage) -> Figure:
    async with stage.rig("F4") as rig:
        victim = rig.instances[0]
        async with load(*rig.ports) as under:
            await asyncio.sleep(WARM_S)
            await victim.fault("never_accepts")
            eject_s = await until_aside(rig, victim.name, 8)
            await asyncio.sleep(stage.seconds(2.5, 15))
        paid = await rig.gateway.tries_that_ended("connect_timeout")
        made = figure("F4", under.ledger, rig.seen())
        made.note(f"{paid} calls waited for a connection in vain, ejected after {ms(eject_s)}")
        # A POST that was on a connection when all were reset is not the black hole's.
        made.check("no GET failed", not under.ledger.of("GET").failed)
        made.check("no POST failed but those in hand at the reset", len(under.ledger.of("POST").failed) <= 2)
        made.check("at most 5 calls paid the connect time-out", 1 <= paid <= 5)
        made.check("put aside", eject_s is not None)
        return made


async def f5(stage: Stage) -> Figure:
    async with stage.rig("F5") as rig:
        victim = rig.instances[0]
        async with load(*rig.ports, methods=["POST"]) as under:
            await asyncio.sleep(WARM_S)
            await victim.fault("answers_500")
            eject_s = await until_aside(rig, victim.name, 8)
            ejected_at = time.monotonic()
            await asyncio.sleep(stage.seconds(3.5, 20))
            healed_at = time.monotonic()
            await victim.fault("works")
            return_s = await until_answered(under, victim.name, healed_at, 70)
            # Half of them: no more than that are put aside, and everybody's 500 is nobody's fault alone.
            for one in rig.instances:
                await one.fault("answers_500")
            await asyncio.sleep(2)
            still_used = len(await rig.gateway.usable(rig.service))
        broken = under.ledger.since(0, healed_at)
        after = broken.since(ejected_at + 0.1).failed
        made = figure("F5", broken, rig.seen())
        made.note(f"ejected after {ms(eject_s)}, then {len(after)} probes failed, back after {ms(return_s)}")
        made.note(f"with all three broken {still_used} of 3 are still used")
        few = len(broken.failed) - len(after) <= 5 + 3
        made.check("put aside after 5 answers and what was under way", eject_s is not None and few)
        made.check("once aside, only single probes meet it", len(after) <= 1 + stage.seconds(3.5, 20) / 2)
        made.check("used again once it answers well", return_s is not None)
        made.check("at most half are put aside", still_used >= 2)
        return made


async def f6(stage: Stage) -> Figure:
    async with stage.rig("F6") as rig:
        for one in rig.instances:
            await one.fault("cuts_body")
        before = rig.gateway.descriptors()
        async with load(*rig.ports, methods=["GET"], per_s=30) as under:
            await asyncio.sleep(stage.seconds(2, 20))
        made = figure("F6", under.ledger, rig.seen())
        gave = amplification(under.ledger, rig.seen())
        cut = [call for call in under.ledger.calls if call.status is None and call.reason in ("cut", "reset")]
        whole = [call for call in under.ledger.calls if call.good]

        async def are_closed() -> bool:
            return rig.gateway.descriptors() <= before

        kept = await came_true(are_closed, 5)
        made.note(f"{len(cut)} seen as cut, {gave:.2f} tries for each call")
        made.check("no cut body looked whole", not whole)
        made.check("an answer that has begun is not asked for again", gave <= 1)
        made.check("no descriptor stays open", kept is not None)
        made.check("active counts are 0 at the end", await rig.until_active_is_0())
        return made


async def f7(stage: Stage) -> Figure:
    async with stage.rig("F7") as rig:
        async with load(*rig.ports) as under:
            await asyncio.sleep(WARM_S)
            for one in rig.instances:
                await one.kill()
            dead_at = time.monotonic()
            await asyncio.sleep(stage.seconds(3, 15))
            settled = under.ledger.since(dead_at + 0.5)
            back_at = time.monotonic()
            fresh = rig.new_instance()
            fresh.start()
            return_s = await until_answered(under, fresh.name, back_at, 20)
        made = figure("F7", settled, rig.seen())
        refused = [call for call in settled.calls if call.reason == "no_healthy_instance"]
        others = [call for call in settled.calls if call.reason != "no_healthy_instance"]
        made.note(
            f"p99 of a refusal {ms(settled.at_share_s(0.99))}, a new instance serves after {ms(return_s)}"
        )
        made.note(f"{len(others)} were probes of the dead")
        made.check(
            "refusals say 503 and Retry-After", all(c.status == 503 and c.retry_after for c in refused)
        )
        made.check("nearly all are refused at once", len(others) <= len(settled.calls) * 0.2)
        made.check("a new instance is used", return_s is not None)
        return made


async def is_used(rig: Rig, name: str) -> bool:
    return name in await rig.gateway.usable(rig.service)


async def f8(stage: Stage) -> Figure:
    async with stage.rig("F8") as rig:
        async with load(*rig.ports) as under:
            await asyncio.sleep(WARM_S)
            for _ in range(int(stage.seconds(1, 3))):
                for old in list(rig.instances):
                    fresh = rig.new_instance()
                    fresh.start()
                    await eventually(partial(is_used, rig, fresh.name))
                    await leave(old)
                    rig.retire(old)
            await asyncio.sleep(WARM_S)
        made = figure("F8", under.ledger, rig.seen())
        made.check("nothing failed", not under.ledger.failed)
        return made


async def f9(stage: Stage) -> Figure:
    made = Figure("F9")
    async with stage.rig("F9", options=["--check", "http"]) as rig:
        stays, dies, hangs = rig.instances
        await dies.kill()
        killed_s = await until_aside(rig, dies.name, 20)
        hangs.pause()
        hung_s = await until_aside(rig, hangs.name, 20)
        made.note(f"killed: not used after {ms(killed_s)}; stopped: after {ms(hung_s)}")
        made.note("interval 2 s, time-out 1 s")
        made.check("without any traffic a dead one is no longer used", killed_s is not None)
        made.check("nor a hanging one", hung_s is not None)
        made.check("the other is", await rig.gateway.usable(rig.service) == {stays.name})
    return made


async def f11(stage: Stage) -> Figure:
    made = Figure("F11")
    async with stage.rig("F11", gateways=2, options=["--propagation", "5"]) as rig:
        gone = rig.instances[0]
        stays = {one.name for one in rig.instances[1:]}
        started = time.monotonic()
        times: dict[str, float | None] = {}

        async def watch(number: int) -> None:
            async def is_gone() -> bool:
                return await rig.gateways[number].usable(rig.service) == stays

            if await came_true(is_gone, 10) is not None:
                times[rig.gateways[number].name] = time.monotonic() - started

        async with asyncio.TaskGroup() as group:
            for number in range(2):
                group.create_task(watch(number))
            async with load(*rig.ports, per_s=30) as under:
                rig.retire(gone)
                await leave(gone)
        made = figure("F11", under.ledger, rig.seen())
        made.note("seen by the gateways after " + " and ".join(ms(one) for one in times.values()))
        made.note("the instance's own way out of its process included")
        made.check("both gateways heard", len(times) == 2)
        made.check("nothing failed", not under.ledger.failed)
    return made


async def asks_to_rest(stage: Stage) -> Figure:
    async with stage.rig("self-eject") as rig:
        victim = rig.instances[0]
        async with load(*rig.ports) as under:
            await asyncio.sleep(WARM_S)
            await victim.fault("ejects_itself")
            eject_s = await until_aside(rig, victim.name, 5)
            met = sum(one.instance == victim.name for one in rig.seen())
            await asyncio.sleep(1)
            again = sum(one.instance == victim.name for one in rig.seen()) - met
            await victim.fault("works")
            return_s = await until_answered(under, victim.name, time.monotonic(), 20)
        made = figure("self-eject", under.ledger, rig.seen())
        made.note(f"aside after {ms(eject_s)}, met by {again} calls in the next second")
        made.note(f"back after {ms(return_s)}")
        made.check("nothing failed", not under.ledger.failed)
        made.check("put aside as it asked, for the 2 s that it asked for", eject_s is not None and again == 0)
        made.check("used again afterwards", return_s is not None)
        return made


async def x6(stage: Stage) -> Figure:
    """With 30 calls under way the budget's share counts, and not its floor of three."""
    spared = {"ejection": {"server_errors": 0, "success_rate": 0}}
    async with stage.rig("X6", policy=spared, options=["--work", "0.3"]) as rig:
        for one in rig.instances:
            await one.fault("fails_half")
        async with load(*rig.ports, methods=["GET"], per_s=100) as under:
            await asyncio.sleep(stage.seconds(4, 30))
        gave = amplification(under.ledger, rig.seen())
        made = figure("X6", under.ledger, rig.seen())
        made.note(f"instances saw {gave:.3f} tries for each call")
        # The few that are allowed before there is a share of anything.
        made.check("what instances see grows by 1.2 x at most", gave <= 1.2 + 3 / made.calls)
        return made


ROWS = (
    Row("F1", "kill -9 of 1 of 3 instances, GET", "0 failed, slowest ≤ 60 ms", f1),
    Row("F2", "the same, POST", "failed ≤ those it had in hand (1 or 2), then 0; none executed twice", f2),
    Row("F3", "SIGSTOP of 1 of 3, GET", "0 failed, slowest ≤ 2.05 s, ≤ 5 pay it", f3),
    Row("F4", "1 of 3 accepts nothing, backlog full", "0 failed, connect time-out paid ≤ 5 times", f4),
    Row("F5", "1 of 3 answers 500 to everything", "aside after 5 in a row, at most half; returns", f5),
    Row(
        "F6",
        "reset in the middle of a body",
        "100 % seen as cut, no second try, no descriptor leaks",
        f6,
        quick=False,
    ),
    Row("F7", "all dead", "503 no_healthy_instance, Retry-After, p99 ≤ 50 ms", f7),
    Row("F8", "rolling deploy of all instances", "0 failed GET and POST", f8),
    Row(
        "F9",
        "dies or hangs without traffic",
        "not used after interval (+ time-out) + 100 ms",
        f9,
        quick=False,
    ),
    Row("F11", "an instance deregisters", "≤ 50 ms on every gateway", f11, quick=False),
    Row(
        "self-eject",
        "an instance asks to be spared for 2 s",
        "0 failed, no call for 2 s",
        asks_to_rest,
        quick=False,
    ),
    Row("X6", "half of all calls fail", "instances see < 1.2 x the calls", x6),
)
