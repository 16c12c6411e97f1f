"""Rows F10, G2 and G3-seats: WebSocket handlers that die, and seats whose gateway died or stood still."""

import asyncio
import json
import time

from tests.faults.client import Client
from tests.faults.figure import Figure, figure, ms
from tests.faults.load import load
from tests.faults.rig import GatewayProcess, Stage, came_true, eventually
from tests.faults.rows.base import Row
from tests.faults.rows.store import are_there, asking_as, handler, seat, seats_scene
from tests.gateway.runtime.gateways import SECRET

WARM_S = 1.0
DEAD_AFTER_S = 2.0
EVERY_S = 0.05


async def handed_out(gateway: GatewayProcess, number: int) -> str:
    """The handler that this client is sent to; empty when there is none."""
    client = Client(gateway.port)
    try:
        answer = await client.ask("GET", "/get_websocket_handler", asking_as(number))
    finally:
        client.close()
    return str(json.loads(answer.body)["handler_id"]) if answer.status == 200 else ""


async def f10(stage: Stage) -> Figure:
    pool = {
        "secret": "the secret of the handlers of this row",
        "dead_after_s": DEAD_AFTER_S,
        "joins_per_s": 1000,
    }
    async with stage.rig("F10", instances=0, handlers=pool, identity={"secret": SECRET}) as rig:
        dies, stays = (handler(rig, f"{rig.service}-ws{n}") for n in (1, 2))
        try:
            for one in (dies, stays):
                one.start()
            await eventually(lambda: are_there(rig, 2))
            before = [await handed_out(rig.gateway, number) for number in range(20)]
            await dies.kill()
            at, last_s, given = time.monotonic(), 0.0, list[str]()
            while time.monotonic() < at + DEAD_AFTER_S + 2:
                given.append(await handed_out(rig.gateway, len(before) + len(given)))
                if given[-1] == dies.name:
                    last_s = time.monotonic() - at
                await asyncio.sleep(EVERY_S)
        finally:
            for one in (dies, stays):
                await one.kill()
        made = Figure("F10")
        made.note(f"last handed out {ms(last_s)} after its death (dead_after_s {DEAD_AFTER_S:g})")
        made.note(f"{len(given)} clients meanwhile")
        made.check("both were handed out before", set(before) == {dies.name, stays.name})
        made.check("every client got a seat", "" not in given)
        made.check("the dead one is no longer handed out", set(given[-20:]) == {stays.name})
        return made


async def g2(stage: Stage) -> Figure:
    guaranteed_s = 2
    async with seats_scene(stage, "G2", capacity=100, guaranteed_s=guaranteed_s) as rig:
        dying, staying = rig.gateways
        taken = [await seat(dying, number) for number in range(100)]
        refused = await seat(staying, 100)
        async with load(staying.port) as under:
            at = time.monotonic()
            await dying.kill()

            async def is_free() -> bool:
                return await seat(staying, 101) == 200

            free_s = await came_true(is_free, 20)
            await asyncio.sleep(WARM_S)
        made = figure("G2", under.ledger, rig.seen())
        made.note(f"100 seats held, the first is free again {ms(free_s)} after the kill")
        made.note(f"they are kept for {guaranteed_s} s; in all {time.monotonic() - at:.1f} s")
        made.check("the pool was full with 100 seats", taken == [200] * 100 and refused == 503)
        made.check("seats of the dead gateway become free", free_s is not None)
        made.check("nothing failed at the other gateway", not under.ledger.failed)
        return made


async def g3_seats(stage: Stage) -> Figure:
    """A gateway that keeps its seats in memory stands still for longer than a handler may be silent."""
    pool = {
        "secret": "the secret of the handlers of this row",
        "dead_after_s": DEAD_AFTER_S,
        "joins_per_s": 1000,
    }
    async with stage.rig("G3S", instances=0, handlers=pool, identity={"secret": SECRET}) as rig:
        one = handler(rig, f"{rig.service}-ws")
        try:
            one.start()
            await eventually(lambda: are_there(rig, 1))
            async with load(
                *rig.ports, path="/get_websocket_handler", methods=["GET"], headers=asking_as, per_s=20
            ) as seats:
                await asyncio.sleep(WARM_S)
                for still_s in (0.5, 1.2 * DEAD_AFTER_S, 2.5 * DEAD_AFTER_S):
                    rig.gateway.pause()
                    await asyncio.sleep(still_s)
                    rig.gateway.resume()
                    await asyncio.sleep(2 * WARM_S)
        finally:
            await one.kill()
        made = figure("G3-seats", seats.ledger, [])
        made.note(f"stood still for up to {2.5 * DEAD_AFTER_S:g} s (dead_after_s {DEAD_AFTER_S:g})")
        made.check("every client got a seat", not seats.ledger.failed)
        return made


ROWS = (
    Row("F10", "a WebSocket handler is killed", "not handed out after its TTL + 100 ms", f10, quick=False),
    Row(
        "G2",
        "gateway kill -9 with 100 seats reserved",
        "free ≤ their lease; 0 failed at the other",
        g2,
        quick=False,
    ),
    Row(
        "G3-seats",
        "the loop of the only gateway stands still",
        "no handler is blamed for it",
        g3_seats,
        quick=False,
    ),
)
