import random
from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from handlers.answers import Grant
from handlers.model import DrainOrder, Hello, Move, PoolSettings, Report, Seat, SeatRefused, SeatRequest, Uid
from handlers.runtime.allocator import Allocator
from handlers.runtime.standby import UNKNOWN_FOR_S
from handlers.stores.base import StoreUnreachable
from handlers.stores.memory import MemoryStore
from handlers.ticket import Gatekeeper, Purpose, TicketClaims, verify
from tests.handlers.runtime.allocators import (
    POOL,
    SECRETS,
    WSH1,
    WSH2,
    Clocks,
    ComesAndGoes,
    answered,
    hello,
    made,
)

SESSION = "0123456789abcdef" * 2


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def allocator(clocks: Clocks, rng: random.Random) -> Allocator:
    return made(MemoryStore(POOL, clocks.store), clocks, rng)


def moving(seq: int, *uids: str, connections: int = 1, **more: Any) -> Report:
    return Report(WSH1, 5, seq, connections, move=tuple(Move(Uid(uid), SESSION) for uid in uids), **more)


async def test_a_draining_handler_gets_seats_elsewhere_for_the_clients_it_names(
    allocator: Allocator, clocks: Clocks
) -> None:
    for name in (WSH1, WSH2):
        await allocator.hello(hello(name))
    await allocator.drain(WSH1, DrainOrder(30.0))
    answer = await answered(allocator, moving(1, "ann", "bob", "eve"))
    assert [(move.session_id, move.handler_id, move.url) for move in answer.migrate] == [
        (SESSION, "WSH2", "wss://h1.example/ws")
    ] * 2, "there is room for two"
    key = SECRETS.key_for(WSH2, 5)
    keeper = Gatekeeper(WSH2, 5, SECRETS.issuer, {key.kid: key.key})
    claims = verify(answer.migrate[0].ticket, keeper, clocks.unix())
    assert isinstance(claims, TicketClaims)
    assert (claims.uid, claims.session_id, claims.purpose) == ("ann", SESSION, Purpose.MIGRATE)
    assert claims.guaranteed_until == clocks.unix() + POOL.moving_s
    again = await answered(allocator, moving(2, "ann"))
    assert again.migrate == answer.migrate[:1], "an answer that was lost moves nobody twice"


async def test_one_that_leaves_may_name_clients_and_one_that_stays_may_not(allocator: Allocator) -> None:
    for name in (WSH1, WSH2):
        await allocator.hello(hello(name))
    assert (await answered(allocator, moving(1, "ann"))).migrate == ()
    assert len((await answered(allocator, moving(2, "ann", leaving=True))).migrate) == 1


async def test_a_handler_gets_no_ticket_for_users_who_do_not_sit_there(
    allocator: Allocator, clocks: Clocks
) -> None:
    """Else one that is broken into could be anybody at all others."""
    clocks.passed += UNKNOWN_FOR_S
    for name in (WSH1, WSH2):
        await allocator.hello(hello(name))
    grant = await allocator.allocate("bob", exclude=["WSH2"])
    assert isinstance(grant, Grant)
    with capture_logs() as logs:
        answer = await answered(allocator, moving(1, "bob", "never here", leaving=True))
    assert [move.handler_id for move in answer.migrate] == ["WSH2"]
    assert [entry.get("users") for entry in logs] == [1]
    assert (await answered(allocator, moving(2, "never here", "nor here", leaving=True))).migrate == ()


async def test_after_an_outage_a_handler_may_have_clients_whom_the_store_does_not_know(
    clocks: Clocks, rng: random.Random
) -> None:
    store = ComesAndGoes(POOL, clocks)
    allocator = made(store, clocks, rng)
    for outage, moved in ((False, 0), (True, 1)):
        clocks.passed += UNKNOWN_FOR_S
        for name in (WSH1, WSH2):
            await allocator.hello(hello(name))
        await allocator.sweep()
        store.away = outage
        await allocator.allocate("eve")
        store.away = False
        await allocator.sweep()
        clocks.passed += 1.0
        for name in (WSH1, WSH2):
            await answered(allocator, Report(name, 5, 1 + outage * 9, 0))
        await allocator.sweep()
        assert allocator.mode == "exact"
        answer = await answered(allocator, moving(2 + outage * 9, "ann", leaving=True))
        assert len(answer.migrate) == moved


async def test_moves_wait_while_the_store_is_away_and_the_report_counts(
    clocks: Clocks, rng: random.Random
) -> None:
    class GoesWhenAskedToMove(ComesAndGoes):
        async def batch_alloc(self, requests: Sequence[SeatRequest]) -> tuple[Seat | SeatRefused, ...]:
            raise StoreUnreachable

    store = GoesWhenAskedToMove(POOL, clocks)
    allocator = made(store, clocks, rng)
    await allocator.hello(hello())
    assert (await answered(allocator, moving(1, "ann", leaving=True))).migrate == ()
    assert [state.connections for state in await store.states()] == [1]
    assert allocator.mode == "degraded"


@pytest.mark.parametrize("on", [True, False])
async def test_after_a_scale_out_the_fullest_gives_clients_away_if_that_is_wanted(
    clocks: Clocks, rng: random.Random, on: bool
) -> None:
    pool = PoolSettings()
    allocator = Allocator(
        MemoryStore(pool, clocks.store),
        pool,
        SECRETS,
        clock=clocks.unix,
        monotonic=clocks.monotonic,
        rng=rng,
        rebalance=on,
    )
    for name in (WSH1, WSH2):
        await allocator.hello(Hello(name, 5, "http://h:1", "/ws", 1000))
    await answered(allocator, Report(WSH1, 5, 1, 500))
    await allocator.sweep()
    assert (await answered(allocator, Report(WSH1, 5, 2, 500))).rebalance == (10 if on else 0)
    names = [str(number) for number in range(12)]
    assert len((await answered(allocator, moving(3, *names, connections=500))).migrate) == (10 if on else 0)
    await allocator.drain(WSH1, DrainOrder(30.0))
    clocks.passed += 1.0
    assert (await answered(allocator, Report(WSH1, 5, 4, 500))).rebalance == 0


async def test_who_is_to_give_clients_away_gets_none_of_them_back_though_it_be_the_emptiest_by_now(
    clocks: Clocks, rng: random.Random
) -> None:
    pool = PoolSettings()
    store = MemoryStore(pool, clocks.store)
    allocator = Allocator(
        store, pool, SECRETS, clock=clocks.unix, monotonic=clocks.monotonic, rng=rng, rebalance=True
    )
    for name in (WSH1, WSH2):
        await allocator.hello(Hello(name, 5, "http://h:1", "/ws", 1000))
    await answered(allocator, Report(WSH1, 5, 1, 500))
    await allocator.sweep()
    assert (await answered(allocator, Report(WSH1, 5, 2, 500))).rebalance > 0
    await answered(allocator, Report(WSH2, 5, 1, 900))
    answer = await answered(allocator, moving(3, "ann", connections=500))
    assert [move.handler_id for move in answer.migrate] == ["WSH2"]
