"""Redis hangs, is emptied, or starts anew, and clients go on getting seats.

Two gateways with a real Redis, and handlers with real gates: those have the last word.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack

import pytest

from handlers.admission import AdmissionLedger, Entry
from handlers.answers import Grant, HelloAnswer
from handlers.model import HandlerId, Hello, PoolSettings, Report, ReportRefusal, ReportRefused, SeatRefused
from handlers.outbox import Outbox
from handlers.runtime.allocator import Allocator
from handlers.stores.base import StoreUnreachable
from handlers.stores.redis import open_store
from handlers.ticket import Gatekeeper, TicketClaims, TicketSecrets, verify
from registry.runtime.clock import unix_now
from tests.servers import RedisServer, forget_all, hasty, own_redis

POOL = PoolSettings(dead_after_s=30.0, joins_per_s=1e6, joins_burst=10**6, slow_start_s=0.001)
SECRETS = TicketSecrets("a secret of the test's own cluster")
CAPACITY = 4
PATIENCE_S = 20.0


class Process:
    """A handler process without its sockets: gate, outbox, and whoever is in."""

    def __init__(self, name: str) -> None:
        self.id = HandlerId(name)
        self.gate = AdmissionLedger(CAPACITY)
        self.outbox = Outbox(self.id, 5)
        key = SECRETS.key_for(self.id, 5)
        self.keeper = Gatekeeper(self.id, 5, SECRETS.issuer, {key.kid: key.key})

    async def say_hello(self, gateway: Allocator) -> None:
        hello = Hello(
            self.id, 5, f"http://{self.id}:1", "/ws", CAPACITY,
            known=self.outbox.unconfirmed, connections=self.gate.connections,
        )  # fmt: skip
        assert isinstance(await gateway.hello(hello), HelloAnswer)

    async def report(self, gateway: Allocator) -> bool:
        """True if the store has taken it."""
        report: Report = self.outbox.report(self.gate.connections)
        try:
            answer = await gateway.report(report)
        except StoreUnreachable:
            return False
        if answer == ReportRefused(ReportRefusal.UNKNOWN_HANDLER):
            await self.say_hello(gateway)
            return False
        assert not isinstance(answer, ReportRefused)
        self.outbox.acknowledged(report)
        return True

    async def let_in(self, grant: Grant, gateway: Allocator) -> bool:
        """What the door does with a client's ticket."""
        claims = verify(grant.ticket, self.keeper, unix_now())
        assert isinstance(claims, TicketClaims)
        entry = self.gate.present(claims, unix_now())
        if entry is Entry.ASK:
            try:
                room: bool | None = await gateway.admit_late(self.id, 5, claims.jti)
            except StoreUnreachable:
                room = None
            if self.gate.answered(claims.jti, room=room) is not None:
                return False
        elif entry is not Entry.ADMITTED:
            return False
        self.outbox.admitted(claims.jti)
        return True


class Fleet:
    """Two gateways and three handlers."""

    def __init__(self, gateways: Sequence[Allocator]) -> None:
        self.gateways = gateways
        self.handlers = {name: Process(name) for name in ("WSH1", "WSH2", "WSH3")}
        self.asked = 0

    async def join(self) -> Grant | SeatRefused:
        """One client: asks one gateway after the other, and goes where it is told."""
        self.asked += 1
        gateway = self.gateways[self.asked % 2]
        got = await gateway.allocate(f"user {self.asked}")
        assert isinstance(got, Grant | SeatRefused)
        if isinstance(got, Grant):
            handler = self.handlers[got.handler_id]
            assert await handler.let_in(got, gateway)
            for one in self.gateways:
                await handler.report(one)
        return got

    async def joins(self, count: int) -> list[bool]:
        """So many clients, who all get in; whether each had an estimated seat."""
        grants = [await self.join() for _ in range(count)]
        assert all(isinstance(grant, Grant) for grant in grants), "somebody was refused, and there was room"
        return [isinstance(grant, Grant) and self.degraded(grant) for grant in grants]

    def degraded(self, grant: Grant) -> bool:
        claims = verify(grant.ticket, self.handlers[grant.handler_id].keeper, unix_now())
        assert isinstance(claims, TicketClaims)
        return claims.degraded

    async def reports(self) -> bool:
        """A round to each gateway; true if the store has taken all."""
        taken = [await one.report(gateway) for one in self.handlers.values() for gateway in self.gateways]
        return all(taken)

    async def sweeps(self) -> bool:
        """True if the store answers both gateways."""
        try:
            for gateway in self.gateways:
                await gateway.sweep()
        except StoreUnreachable:
            return False
        return True

    @property
    def modes(self) -> list[str]:
        return [gateway.mode.value for gateway in self.gateways]

    def connections(self) -> list[int]:
        return [one.gate.connections for one in self.handlers.values()]

    async def counted(self) -> list[int]:
        return [state.connections for state in await self.gateways[0].states()]

    async def becomes_exact(self) -> None:
        """Within two reports of every handler, once the store answers again."""
        async with asyncio.timeout(PATIENCE_S):
            while not await self.sweeps():  # noqa: ASYNC110 the store has no event to wait for
                await asyncio.sleep(0.02)
        rounds = 0
        while self.modes != ["exact", "exact"]:
            rounds += await self.reports()
            assert rounds <= 2
            await self.sweeps()
        assert await self.reports()
        assert await self.counted() == self.connections()


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with own_redis() as server:
        yield server


@pytest.fixture
async def fleet(redis: RedisServer) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(open_store(POOL, hasty(redis.url))) for _ in range(2)]
        made = Fleet([Allocator(store, POOL, SECRETS, gateways=lambda: 2) for store in stores])
        for handler in made.handlers.values():
            await handler.say_hello(made.gateways[0])
        assert await made.sweeps()
        yield made


async def test_a_redis_that_hangs_costs_no_client_its_seat(fleet: Fleet, redis: RedisServer) -> None:
    assert not any(await fleet.joins(7))
    redis.pause()
    assert all(await fleet.joins(5)), "every seat that is left"
    assert fleet.connections() == [CAPACITY] * 3
    assert isinstance(await fleet.join(), SeatRefused)
    assert fleet.modes == ["degraded"] * 2
    redis.resume()
    await fleet.becomes_exact()
    assert isinstance(await fleet.join(), SeatRefused)


async def test_clients_without_a_reservation_find_a_handler_full_and_never_too_full(
    fleet: Fleet, redis: RedisServer
) -> None:
    """Nobody hears of anybody: each gateway thinks that there is room, and the gates decide."""
    await fleet.joins(6)
    redis.pause()
    let_in = 0
    for number in range(20):
        gateway = fleet.gateways[number % 2]
        got = await gateway.allocate(f"late {number}")
        if isinstance(got, Grant):
            let_in += await fleet.handlers[got.handler_id].let_in(got, gateway)
    assert let_in > 0
    assert max(fleet.connections()) <= CAPACITY
    redis.resume()
    await fleet.becomes_exact()
    assert max(await fleet.counted()) <= CAPACITY
    assert not any(await fleet.joins(12 - sum(fleet.connections())))


async def test_an_emptied_redis_is_not_believed_that_there_are_no_handlers(
    fleet: Fleet, redis: RedisServer
) -> None:
    await fleet.joins(6)
    forget_all(redis.url)
    for gateway in fleet.gateways:
        got = await gateway.allocate("somebody")
        assert isinstance(got, Grant)
        assert fleet.degraded(got)
        await gateway.cancel(got.jti)
    assert fleet.modes == ["degraded"] * 2
    await fleet.becomes_exact()
    assert not any(await fleet.joins(6))
    assert isinstance(await fleet.join(), SeatRefused)
    assert fleet.connections() == [CAPACITY] * 3


async def test_a_redis_that_starts_anew_is_told_everything_again(fleet: Fleet, redis: RedisServer) -> None:
    await fleet.joins(6)
    redis.stop()
    assert all(await fleet.joins(3))
    redis.start()
    await fleet.becomes_exact()
    assert not any(await fleet.joins(3))
    assert fleet.connections() == [CAPACITY] * 3
