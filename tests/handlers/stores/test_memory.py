"""What is the memory store's own; its promises are in the contract suite."""

import time

from handlers.model import HandlerId, Hello, Jti, PoolSettings, Seat, SeatRequest, Uid
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
