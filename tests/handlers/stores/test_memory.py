"""What is the memory store's own; its promises are in the contract suite."""

import time

from handlers.awake_time import awake_clock
from handlers.model import (
    HandlerId,
    Hello,
    Jti,
    PoolSettings,
    Report,
    Seat,
    SeatRefusal,
    SeatRefused,
    SeatRequest,
    Uid,
)
from handlers.stores.memory import open_store


async def test_its_clock_is_the_monotonic_one_unless_another_is_given() -> None:
    async with open_store(PoolSettings(), "") as store:
        await store.hello(Hello(HandlerId("WSH1"), 1, "http://h:1", "/ws", 2))
        before = time.monotonic()
        got = await store.alloc(SeatRequest(Uid("ann"), Jti("a")))
        assert isinstance(got, Seat)
        assert before <= got.now <= time.monotonic()


async def test_two_stores_share_nothing() -> None:
    async with open_store(PoolSettings(), "") as one, open_store(PoolSettings(), "") as other:
        await one.hello(Hello(HandlerId("WSH1"), 1, "http://h:1", "/ws", 2))
        assert await other.states() == ()
        assert repr(one) == (
            "<MemoryStore: <SeatLedger: 1 handlers, <SeatBook: 0 seats, 0 held, 0 users>,"
            " <Order: 1 with room: WSH1 0>>>"
        )


async def test_a_process_that_stood_still_takes_no_handler_for_dead_that_it_could_not_hear() -> None:
    now = 1000.0
    async with open_store(PoolSettings(dead_after_s=3.0), "", clock=awake_clock(lambda: now)) as store:
        await store.hello(Hello(HandlerId("WSH1"), 1, "http://h:1", "/ws", 9))
        await store.report(Report(HandlerId("WSH1"), 1, 1, 0))
        now += 60.0
        assert isinstance(await store.alloc(SeatRequest(Uid("ann"), Jti("a"))), Seat)
        for _ in range(3):
            now += 1.0
            await store.sweep()
        # It says nothing now that we listen, and so it is dead.
        refused = await store.alloc(SeatRequest(Uid("ben"), Jti("b")))
        assert isinstance(refused, SeatRefused)
        assert refused.reason is SeatRefusal.NO_HANDLERS
