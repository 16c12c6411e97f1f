"""More than the gateway can take: three times as many calls as it may have under way."""

import asyncio
import shutil
import time

from tests.faults.figure import Figure, figure, ms
from tests.faults.ledger import CallLedger
from tests.faults.load import load
from tests.faults.processes import Child
from tests.faults.rig import GatewayProcess, Stage
from tests.faults.rows.base import Row

WARM_S = 1.0
MAX_IN_FLIGHT = 30
CALL_S = 1.0
"""How long instances take while they are slow: so the gateway can take 30 calls a second."""


async def how_long_live_takes(gateway: GatewayProcess, times: list[float], over: asyncio.Event) -> None:
    while not over.is_set():
        started = time.monotonic()
        assert (await gateway.ask("/health/live")).status == 200
        times.append(time.monotonic() - started)
        await asyncio.sleep(0.05)


async def overload(stage: Stage) -> Figure:
    over, live = asyncio.Event(), list[float]()
    async with stage.rig("overload", listen={"max_in_flight": MAX_IN_FLIGHT}) as rig:
        async with load(*rig.ports, per_s=3 * MAX_IN_FLIGHT / CALL_S, methods=["GET"]) as under:
            await asyncio.sleep(WARM_S)
            before = rig.gateway.rss_bytes()
            for one in rig.instances:
                await one.fault("slow")
            begun_at = time.monotonic()
            async with asyncio.TaskGroup() as group:
                group.create_task(how_long_live_takes(rig.gateway, live, over))
                await asyncio.sleep(stage.seconds(4, 30))
                over.set()
            for one in rig.instances:
                await one.fault("works")
            over_at = time.monotonic()
            grown = (rig.gateway.rss_bytes() - before) >> 20
            await asyncio.sleep(2.5)
        during = under.ledger.since(begun_at + CALL_S, over_at)
        refused = CallLedger([call for call in during.calls if call.reason == "overloaded"])
        served = CallLedger([call for call in during.calls if call.good])
        made = figure("overload", under.ledger, rig.seen())
        made.note(f"of {len(during.calls)} calls then {len(served.calls)} answered")
        made.note(f"p99 of those {ms(served.at_share_s(0.99))}")
        made.note(f"{len(refused.calls)} refused, p99 {ms(refused.at_share_s(0.99))}")
        made.note(f"/health/live {ms(max(live))} at most, {grown} MiB more resident")
        made.check("nothing but answers and refusals", len(during.failed) == len(refused.calls))
        well_said = all(call.status == 503 and call.retry_after for call in refused.calls)
        made.check("refusals say 503 and Retry-After", bool(refused.calls) and well_said)
        made.check("what it can take, it answers", len(served.calls) >= len(during.calls) * 0.25)
        made.check("normal a second later", not under.ledger.since(over_at + 1 + CALL_S).failed)
        made.check("active counts are 0 at the end", await rig.until_active_is_0())
        return made


async def flood(stage: Stage) -> Figure:
    """As many calls as a closed loop of 300 connections can make: each core has more to do than it can."""
    over, live = asyncio.Event(), list[float]()
    wrk = shutil.which("wrk")
    if wrk is None:
        return Figure("overload-cpu", notes=["not shown: there is no wrk"])
    seconds = stage.seconds(5, 20)
    async with stage.rig("flood") as rig:
        before = rig.gateway.rss_bytes()
        url = f"http://127.0.0.1:{rig.gateway.port}/work/x"
        options = ("-t1", "-c300", f"-d{seconds:g}s", "--timeout", "20s")
        crowd = Child("wrk", [wrk, *options, url], rig.folder / "wrk.log")
        async with load(*rig.ports, per_s=20) as under:
            await asyncio.sleep(WARM_S)
            crowd.start()
            begun_at = time.monotonic()
            async with asyncio.TaskGroup() as group:
                group.create_task(how_long_live_takes(rig.gateway, live, over))
                await crowd.ended(seconds + 30)
                over.set()
            over_at = time.monotonic()
            grown = (rig.gateway.rss_bytes() - before) >> 20
            await asyncio.sleep(3)
        during, after = under.ledger.since(begun_at, over_at), under.ledger.since(over_at + 1)
        refused = CallLedger([call for call in during.calls if call.reason == "overloaded"])
        served = CallLedger([call for call in during.calls if call.good])
        made = figure("overload-cpu", under.ledger)
        said = " ".join(crowd.last_words().split())
        made.note(f"wrk: {said[said.find('requests in') - 8 :]}")
        made.note(f"of {len(during.calls)} calls beside it {len(served.calls)} answered")
        made.note(f"p99 of those {ms(served.at_share_s(0.99))}, of refusals {ms(refused.at_share_s(0.99))}")
        made.note(f"/health/live {ms(max(live))} at most, {grown} MiB more resident")
        made.note(f"a second later p99 {ms(after.at_share_s(0.99))}")
        made.check("nothing but answers and refusals", len(during.failed) == len(refused.calls))
        made.check("normal a second later", not after.failed)
        made.check("active counts are 0 at the end", await rig.until_active_is_0())
        return made


ROWS = (
    Row(
        "overload",
        "3 x the calls that may be under way",
        "the rest refused at once, /health/live ≤ 100 ms, normal ≤ 1 s after",
        overload,
        quick=False,
    ),
    Row(
        "overload-cpu",
        "300 connections that ask again at once",
        "as above, by the wait for a turn",
        flood,
        quick=False,
    ),
)
