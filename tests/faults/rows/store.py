"""Rows D1 to D5, and the restart of Redis: the store hangs, dies, forgets or refuses.

Every forwarded call is counted against a limit in Redis, and beside them clients ask for seats.
"""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.faults.client import Client
from tests.faults.figure import Figure, figure, ms
from tests.faults.ledger import CallLedger
from tests.faults.load import Load, load
from tests.faults.processes import Child
from tests.faults.rig import GatewayProcess, Rig, Stage, came_true, eventually
from tests.faults.rows.base import Row
from tests.gateway.runtime.gateways import SECRET, token
from tests.servers import RedisServer, free_ports, own_redis

WARM_S = 1.0
SEATS_PER_S = 10


@dataclass(frozen=True, slots=True)
class Shown:
    """One scene: a rig with Redis and two handlers, calls that are forwarded, and clients that want seats."""

    rig: Rig
    redis: RedisServer
    forwarded: Load
    seats: Load

    async def mode(self) -> str:
        """How the gateway hands out seats: exactly, or by what it knows."""
        pools = (await self.rig.gateway.detailed())["pools"]
        return str(pools["default"]["mode"])

    async def until_exact(self, within_s: float = 15) -> float | None:
        """Seconds until the gateway hands out seats by Redis again, and both handlers are there."""

        async def is_exact() -> bool:
            found = await self.rig.gateway.detailed()
            there = [one for one in found["handlers"] if one["eligible"]]
            return found["pools"]["default"]["mode"] == "exact" and len(there) == 2

        return await came_true(is_exact, within_s)


@asynccontextmanager
async def seats_scene(stage: Stage, row: str, *, capacity: int, guaranteed_s: float) -> AsyncIterator[Rig]:
    """Two gateways on one Redis, and one handler that both know."""
    with own_redis() as redis:
        settings = settings_with(redis)
        settings["handlers"] |= {"guaranteed_s": guaranteed_s}
        async with stage.rig(row, gateways=2, **settings) as rig:
            one = handler(rig, f"{rig.service}-ws", capacity)
            try:
                one.start()
                await eventually(lambda: are_there(rig, 1))
                yield rig
            finally:
                await one.kill()


async def seat(gateway: GatewayProcess, number: int) -> int:
    """The status of a client's question for a seat."""
    client = Client(gateway.port)
    try:
        return (await client.ask("GET", "/get_websocket_handler", asking_as(number))).status
    finally:
        client.close()


def asking_as(number: int) -> dict[str, str]:
    """The headers of that client."""
    return {"Authorization": f"Bearer {token(f'user-{number}')}"}


def settings_with(redis: RedisServer) -> dict[str, Any]:
    return {
        "store": {"backend": "redis", "url": redis.url},
        "limits": {"per_address": 1_000_000, "per_user": 1_000_000},
        "identity": {"secret": SECRET},
        "handlers": {"secret": "the secret of the handlers of this row", "joins_per_s": 1000},
    }


@asynccontextmanager
async def scene(stage: Stage, row: str) -> AsyncIterator[Shown]:
    with own_redis() as redis:
        async with stage.rig(row, instances=2, **settings_with(redis)) as rig:
            handlers = [handler(rig, f"{rig.service}-ws{n}") for n in (1, 2)]
            try:
                for one in handlers:
                    one.start()
                await eventually(lambda: are_there(rig, 2))
                async with (
                    load(*rig.ports) as forwarded,
                    load(
                        *rig.ports,
                        path="/get_websocket_handler",
                        per_s=SEATS_PER_S,
                        methods=["GET"],
                        headers=asking_as,
                    ) as seats,
                ):
                    await asyncio.sleep(WARM_S)
                    yield Shown(rig, redis, forwarded, seats)
                    # Before its end: a load that meets a Redis that hangs must not have to wait for it.
                    redis.resume()
            finally:
                for one in handlers:
                    await one.kill()


def handler(rig: Rig, name: str, capacity: int = 10_000) -> Child:
    (own,) = free_ports(1)
    return Child(
        name,
        [
            *(sys.executable, "-m", "bench.fleet.handler", "--id", name, "--port", str(own)),
            *("--capacity", str(capacity), "--consul", rig.consul),
            *(word for port in rig.ports for word in ("--gateway", f"http://127.0.0.1:{port}")),
        ],
        rig.folder / f"{name}.log",
    )


async def are_there(rig: Rig, handlers: int) -> bool:
    found = [(await gateway.detailed())["handlers"] for gateway in rig.gateways]
    return all(len([one for one in seen if one["eligible"]]) == handlers for seen in found)


def tell(redis: RedisServer, command: str) -> str:
    """Redis' answer to an inline command."""
    address = urlsplit(redis.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=5) as s:
        s.sendall(f"{command}\r\n".encode())
        return s.recv(1000).decode().strip()


def shown_by(row: str, on: Shown, since: float) -> Figure:
    """The forwarded calls' figure, with what the seats were answered."""
    made = figure(row, on.forwarded.ledger, on.rig.seen())
    during = on.forwarded.ledger.since(since)
    before = CallLedger([c for c in on.forwarded.ledger.calls if c.sent_at < since])
    added_s = during.at_share_s(0.99) - before.at_share_s(0.99)
    made.note(f"p99 {ms(before.at_share_s(0.99))} before, {ms(max(0.0, added_s))} more during")
    made.note(f"{len(during.slower_than(before.at_share_s(0.99) + 0.05))} calls paid over 50 ms")
    seats = on.seats.ledger
    answers = ", ".join(f"{n} x {what}" for what, n in seats.failures().items()) or "none refused"
    made.note(f"{len(seats.calls)} seats asked for, {answers}, slowest {ms(seats.slowest_s())}")
    made.check("no forwarded call failed", not on.forwarded.ledger.failed)
    odd = [call for call in seats.failed if call.reason != "allocation_unavailable"]
    made.check("seats were given, or refused with allocation_unavailable", not odd)
    return made


async def d1(stage: Stage) -> Figure:
    async with scene(stage, "D1") as on:
        at = time.monotonic()
        on.redis.pause()
        await asyncio.sleep(stage.seconds(3, 30))
        on.redis.resume()
        back_s = await on.until_exact()
    made = shown_by("D1", on, at)
    made.note(f"seats exact again after {ms(back_s)}")
    made.check("Redis is used again", back_s is not None)
    return made


async def d2(stage: Stage) -> Figure:
    async with scene(stage, "D2") as on:
        at = time.monotonic()
        on.redis.stop()
        await asyncio.sleep(stage.seconds(1, 10))
        on.redis.start()
        back_s = await on.until_exact()
        await asyncio.sleep(WARM_S)
    made = shown_by("D2", on, at)
    made.note(f"handlers told Redis everything again within {ms(back_s)}")
    made.check("Redis is used again", back_s is not None)
    return made


REFUSALS = (
    ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
    ("CONFIG SET min-replicas-to-write 3", "CONFIG SET min-replicas-to-write 0"),
    ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
)
"""OOM, NOREPLICAS and READONLY, each with its end."""


async def d3(stage: Stage) -> Figure:
    times = []
    async with scene(stage, "D3") as on:
        at = time.monotonic()
        for begin, end in REFUSALS:
            assert tell(on.redis, begin) == "+OK"
            await asyncio.sleep(stage.seconds(1, 10))
            assert tell(on.redis, end) == "+OK"
            times.append(await on.until_exact())
    made = shown_by("D3", on, at)
    made.note("exact again after " + ", ".join(ms(one) for one in times))
    made.check("Redis is used again each time", None not in times)
    return made


async def d5(stage: Stage) -> Figure:
    async with scene(stage, "D5") as on:
        at = time.monotonic()
        for _ in range(5):
            assert tell(on.redis, "SCRIPT FLUSH") == "+OK"
            await asyncio.sleep(stage.seconds(0.3, 2))
        mode = await on.mode()
    made = shown_by("D5", on, at)
    made.note(f"mode {mode} at the end")
    made.check("nobody noticed", mode == "exact" and not on.seats.ledger.failed)
    return made


async def redis_restarts(stage: Stage) -> Figure:
    times = []
    async with scene(stage, "DR") as on:
        at = time.monotonic()
        for _ in range(int(stage.seconds(2, 4))):
            await asyncio.to_thread(on.redis.stop)
            await asyncio.to_thread(on.redis.start)
            times.append(await on.until_exact())
    made = shown_by("deploy-redis", on, at)
    made.note("exact again after " + ", ".join(ms(one) for one in times))
    made.check("Redis is used again each time", None not in times)
    made.check("every client got a seat", not on.seats.ledger.failed)
    return made


ROWS = (
    Row("D1", "SIGSTOP of Redis", "≤ 50 ms more at p99, 0 failed; seats as configured", d1),
    Row(
        "D2", "Redis kill -9, restarts empty", "0 failed, handlers rebuild it in a heartbeat", d2, quick=False
    ),
    Row("D3", "Redis refuses: OOM, NOREPLICAS, READONLY", "as D1", d3, quick=False),
    Row("D5", "SCRIPT FLUSH", "nobody notices", d5, quick=False),
    Row(
        "deploy-redis", "restarts of Redis", "0 failed, every client gets a seat", redis_restarts, quick=False
    ),
)
