"""What every store promises, tried on each of the table: so a newcomer is tested from its first day."""

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from handlers.decisions import KEPT
from handlers.model import (
    Candidate,
    Decision,
    DrainOrder,
    HandlerId,
    Hello,
    Jti,
    Known,
    PoolSettings,
    Report,
    ReportRefusal,
    ReportRefused,
    Seat,
    SeatRefusal,
    SeatRefused,
    SeatRequest,
    Uid,
)
from handlers.stores import STORES, load_store
from handlers.stores.base import Store
from tests.handlers.day import POOL as DAYS_POOL
from tests.handlers.day import THROTTLED as THROTTLED_DAY
from tests.handlers.day import Clock, Day
from tests.handlers.machine import POOL, THROTTLED, SeatMachine
from tests.handlers.subjects import StoreSubject
from tests.servers import forget_all, patient

WSH1, WSH2 = HandlerId("WSH1"), HandlerId("WSH2")
DRAIN = DrainOrder(30.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=STORES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(name: str, request: pytest.FixtureRequest) -> str:
    """Where the store finds its server, which is empty; one that needs none never asks for it."""
    if name == "memory":
        return ""
    found = str(request.getfixturevalue("redis_url"))
    forget_all(found)
    return patient(found)


@pytest.fixture
async def store(name: str, url: str, clock: Clock) -> AsyncIterator[Store]:
    async with load_store(name)(PoolSettings(capacity=2, joins_burst=2000), url, clock=clock) as opened:
        yield opened


def request(jti: str, **more: Any) -> SeatRequest:
    return SeatRequest(Uid(f"user of {jti}"), Jti(jti))._replace(**more)


async def seat(store: Store, jti: str, **more: Any) -> Seat:
    got = await store.alloc(request(jti, **more))
    assert isinstance(got, Seat)
    return got


def hello(epoch: int = 1, name: HandlerId = WSH1) -> Hello:
    return Hello(name, epoch, f"http://{name}:1", "/ws", 2)


@pytest.mark.parametrize("settled", [POOL, THROTTLED], ids=["roomy", "throttled"])
def test_a_bad_day(name: str, url: str, settled: PoolSettings) -> None:
    """The machine of the ledger, on the store."""

    class StoreMachine(SeatMachine):
        pool = settled

        @staticmethod
        def open(pool: PoolSettings, clock: Callable[[], float]) -> StoreSubject:
            if url:
                forget_all(url)
            return StoreSubject(load_store(name), url, pool, clock)

    run_state_machine_as_test(StoreMachine, settings=settings(max_examples=18, stateful_step_count=40))


@pytest.mark.parametrize("pool", [DAYS_POOL, THROTTLED_DAY], ids=["roomy", "throttled"])
async def test_a_long_day_ends_as_the_ledgers_does(
    name: str, url: str, rng: random.Random, pool: PoolSettings
) -> None:
    """Every answer to random calls, in batches, is what the ledger says."""
    clock = Clock()
    async with load_store(name)(pool, url, clock=clock) as store:
        await Day(store, pool, rng, clock).go_on(batches=800)


async def test_nobody_is_there_at_first(store: Store) -> None:
    assert await store.states() == ()
    assert await store.alloc(request("a")) == SeatRefused(SeatRefusal.NO_HANDLERS, 3.0)
    assert await store.locate(Uid("ann")) is None
    assert not await store.cancel(Jti("a"))
    assert not await store.drain(WSH1, DRAIN)
    assert await store.sweep() == 0


async def test_a_seat_says_where_and_how_long(store: Store, clock: Clock) -> None:
    await store.hello(hello())
    got = await seat(store, "a")
    assert (got.handler, got.epoch, got.url, got.path) == (WSH1, 1, "http://WSH1:1", "/ws")
    assert (got.load, got.sequence) == (1, 1)
    left = (got.guaranteed_until - got.now, got.held_until - got.now, got.ticket_until - got.now)
    assert left == pytest.approx((12.0, 15.0, 60.0))


async def test_seats_go_to_the_least_loaded_and_never_beyond_the_capacity(store: Store) -> None:
    for name in (WSH1, WSH2):
        await store.hello(hello(name=name))
    assert sorted([(await seat(store, jti)).handler for jti in "abcd"]) == [WSH1, WSH1, WSH2, WSH2]
    refused = await store.alloc(request("e"))
    assert isinstance(refused, SeatRefused)
    assert refused.reason is SeatRefusal.NO_CAPACITY
    assert refused.retry_after_s == pytest.approx(15.0)


async def test_a_cancelled_seat_is_free_at_once(store: Store) -> None:
    await store.hello(hello())
    for jti in "ab":
        await seat(store, jti)
    assert await store.cancel(Jti("a"))
    assert not await store.cancel(Jti("a"))
    assert (await seat(store, "c")).handler == WSH1


async def test_a_seat_runs_out_without_anybody_sweeping(store: Store, clock: Clock) -> None:
    await store.hello(hello())
    for jti in "ab":
        await seat(store, jti)
    clock.now += 15.0
    await store.report(Report(WSH1, 1, 1, 0))
    assert (await seat(store, "c")).handler == WSH1


async def test_a_user_at_the_limit_waits_for_the_end_of_a_hold(name: str, url: str, clock: Clock) -> None:
    pool = PoolSettings(capacity=9, seats_per_user=2)
    async with load_store(name)(pool, url, clock=clock) as store:
        await store.hello(replace(hello(), capacity=9))
        for jti in "ab":
            await seat(store, jti, uid=Uid("ann"))
        refused = await store.alloc(request("c", uid=Uid("ann")))
        assert isinstance(refused, SeatRefused)
        assert refused.reason is SeatRefusal.RATE_LIMITED
        assert refused.retry_after_s == pytest.approx(15.0)
        clock.now += 15.0
        await store.report(Report(WSH1, 1, 1, 0))
        await seat(store, "d", uid=Uid("ann"))
        assert not await store.cancel(Jti("a"))
        assert await store.cancel(Jti("b"))


async def test_sweeping_says_what_it_freed(store: Store, clock: Clock) -> None:
    await store.hello(hello())
    await seat(store, "a")
    clock.now += 15.0
    assert await store.sweep() == 1
    assert await store.sweep() == 0


async def test_a_report_confirms_releases_and_counts(store: Store) -> None:
    await store.hello(hello())
    await seat(store, "a", uid=Uid("ann"))
    assert await store.report(Report(WSH1, 1, 1, 1, (Jti("a"),))) is None
    (state,) = await store.states()
    assert (state.connections, state.held, state.eligible) == (1, 0, True)
    located = await store.locate(Uid("ann"))
    assert located is not None
    assert (located.handler, located.url, located.connected) == (WSH1, "http://WSH1:1", True)
    assert await store.report(Report(WSH1, 1, 2, 0, closed=(Jti("a"),))) is None
    assert await store.locate(Uid("ann")) is None


async def test_reports_are_fenced_by_epoch(store: Store) -> None:
    unknown, stale = (ReportRefused(reason) for reason in ReportRefusal)
    assert await store.report(Report(WSH1, 1, 1, 0)) == unknown
    await store.hello(hello(2))
    assert await store.report(Report(WSH1, 1, 1, 0)) == stale
    assert await store.report(Report(WSH1, 3, 1, 0)) == unknown
    assert await store.hello(hello(1)) == stale


async def test_silence_is_death_until_the_next_report(store: Store, clock: Clock) -> None:
    await store.hello(hello())
    clock.now += 3.0
    refused = await store.alloc(request("a"))
    assert isinstance(refused, SeatRefused)
    assert refused.reason is SeatRefusal.NO_HANDLERS
    assert (await store.states())[0].why_not == "silent"
    await store.report(Report(WSH1, 1, 1, 0))
    await seat(store, "a")


async def test_a_drained_handler_stays_so_whatever_it_reports(store: Store) -> None:
    await store.hello(hello())
    assert await store.drain(WSH1, DRAIN)
    await store.report(Report(WSH1, 1, 1, 0))
    assert isinstance(await store.alloc(request("a")), SeatRefused)
    assert await store.drain(WSH1, None)
    await seat(store, "a")


async def test_a_drained_handler_is_told_with_each_report_until_when(store: Store, clock: Clock) -> None:
    await store.hello(hello())
    await store.drain(WSH1, DrainOrder(20.0, 2.5))
    clock.now += 2.0
    assert await store.report(Report(WSH1, 1, 1, 0)) == DrainOrder(18.0, 2.5)
    clock.now += 20.0
    assert await store.report(Report(WSH1, 1, 2, 0)) == DrainOrder(0.0, 2.5)
    assert (await store.states())[0].drain == DrainOrder(0.0, 2.5)
    await store.hello(hello(2))
    assert await store.report(Report(WSH1, 2, 1, 0)) is None


async def test_maintenance_is_a_drain_with_the_pools_deadline(store: Store, clock: Clock) -> None:
    await store.hello(hello())
    for index in (1, 2):
        await store.sync(index, [Known(WSH1, "http://h:1", draining=True)])
        clock.now += 1.0
    assert await store.report(Report(WSH1, 1, 1, 0)) == DrainOrder(28.0)
    assert isinstance(await store.alloc(request("a")), SeatRefused)
    await store.sync(3, [Known(WSH1, "http://h:1")])
    assert await store.report(Report(WSH1, 1, 2, 0)) is None
    await seat(store, "a")


async def test_a_moving_client_gets_a_seat_whatever_its_user_holds_and_for_longer(
    name: str, url: str, clock: Clock
) -> None:
    async with load_store(name)(PoolSettings(seats_per_user=1), url, clock=clock) as store:
        await store.hello(replace(hello(), capacity=3))
        await seat(store, "a", uid=Uid("ann"))
        moves = [request(jti, uid=Uid("ann"), client_id=f"move:{jti}", moving=True) for jti in "bcd"]
        *got, refused = await store.batch_alloc(moves)
        for answer in got:
            assert isinstance(answer, Seat)
            left = (answer.guaranteed_until, answer.held_until, answer.ticket_until)
            assert [at - answer.now for at in left] == pytest.approx([30.0, 33.0, 60.0])
        assert isinstance(refused, SeatRefused)
        assert refused.reason is SeatRefusal.NO_CAPACITY
        again = await store.batch_alloc(moves[:2])
        assert [answer.jti for answer in again if isinstance(answer, Seat)] == ["b", "c"]


async def test_a_decision_says_what_it_was_made_of_for_a_while(store: Store, clock: Clock) -> None:
    for name, weight in ((WSH1, 1), (WSH2, 2)):
        await store.hello(replace(hello(name=name), weight=weight))
    gone = frozenset({HandlerId("gone")})
    got = [await seat(store, "a"), await seat(store, "b", exclude=gone, last=WSH1, uid=Uid("ann"))]
    assert await store.decision(got[1].sequence) == Decision(
        sequence=2,
        at=clock.now,
        uid=Uid("ann"),
        chosen=WSH1,
        why="affinity",
        candidates=(Candidate(WSH2, 0, 2, 0), Candidate(WSH1, 1, 1, 1)),
        excluded=(HandlerId("gone"),),
        last=WSH1,
    )
    assert await store.decision(3) is None
    for number in range(KEPT):
        await store.cancel((await seat(store, str(number))).jti)
    assert await store.decision(2) is None
    assert await store.decision(3) is not None


async def test_of_many_handlers_a_decision_tells_the_first_and_the_clients_last(store: Store) -> None:
    names = [HandlerId(f"h{number:02}") for number in range(12)]
    for load, each in enumerate(names):
        await store.hello(replace(hello(name=each), capacity=99, connections=load))
    got = await seat(store, "a", last=names[11], exclude=frozenset(names[:2]))
    decision = await store.decision(got.sequence)
    assert decision is not None
    assert decision.candidates == tuple(Candidate(names[n], n, 1, 0) for n in (*range(2, 10), 11))
    assert (decision.chosen, decision.why) == (names[2], "least_loaded")


async def test_who_finds_every_handler_busy_gets_an_appointment_and_then_a_seat(
    name: str, url: str, clock: Clock
) -> None:
    pool = PoolSettings(joins_per_s=2.0, joins_burst=1, horizon_s=2.0)
    async with load_store(name)(pool, url, clock=clock) as store:
        await store.hello(replace(hello(), capacity=9))
        await seat(store, "a")
        (state,) = await store.states()
        assert state.eligible
        assert state.tokens < 1
        assert state.joins_per_s == 2.0
        refused = await store.alloc(request("b"))
        assert isinstance(refused, SeatRefused)
        assert (refused.reason, refused.now) == (SeatRefusal.COME_BACK, clock.now)
        assert refused.slot == clock.now + refused.retry_after_s == clock.now + 1.0
        clock.now += 1.0
        await seat(store, "b", slot=refused.slot)
        used = await store.alloc(request("c", slot=refused.slot))
        assert isinstance(used, SeatRefused)
        assert used.slot == refused.slot + 1.0
        for jti in "de":
            await store.alloc(request(jti))
        assert await store.alloc(request("f")) == SeatRefused(SeatRefusal.COME_BACK, 2.0, None, clock.now)


async def test_a_user_at_the_limit_gets_no_appointment(name: str, url: str, clock: Clock) -> None:
    pool = PoolSettings(joins_per_s=1.0, joins_burst=1, seats_per_user=1)
    async with load_store(name)(pool, url, clock=clock) as store:
        await store.hello(replace(hello(), capacity=9))
        await seat(store, "a", uid=Uid("ann"))
        refused = [await store.alloc(request(jti, uid=Uid(uid))) for jti, uid in (("b", "ann"), ("c", "bob"))]
        assert [answer.reason for answer in refused if isinstance(answer, SeatRefused)] == [
            SeatRefusal.RATE_LIMITED,
            SeatRefusal.COME_BACK,
        ]
        assert isinstance(refused[1], SeatRefused)
        assert refused[1].slot == clock.now + 2.0


async def test_a_handler_that_moves_its_clients_is_not_doubted_for_it(store: Store, clock: Clock) -> None:
    await store.hello(hello())
    clock.now += 2.0
    elsewhere = frozenset({WSH1})
    await store.batch_alloc([request(jti, exclude=elsewhere, moving=True) for jti in "abcd"])
    await seat(store, "e")


async def test_users_who_can_not_reach_a_handler_are_believed_after_one_missed_report(
    store: Store, clock: Clock
) -> None:
    await store.hello(hello())
    clock.now += 1.2
    for jti in "abc":
        assert isinstance(await store.alloc(request(jti, exclude=frozenset({WSH1}))), SeatRefused)
    await seat(store, "d")
    clock.now += 0.1
    assert isinstance(await store.alloc(request("e")), SeatRefused)
    assert (await store.states())[0].why_not == "silent"
    await store.report(Report(WSH1, 1, 1, 0))
    await seat(store, "f")


async def test_what_became_of_seats_is_counted_once_each(name: str, url: str, clock: Clock) -> None:
    async with load_store(name)(PoolSettings(), url, clock=clock) as store:
        await store.hello(replace(hello(), capacity=9))
        for jti in "abcde":
            await seat(store, jti)
        for _ in range(2):
            await store.cancel(Jti("a"))
            await store.admit_late(WSH1, 1, Jti("gone"))
        for seq, gone in enumerate([(), (), ("c", "d"), ("c", "d")], start=1):
            closed = tuple(map(Jti, gone))
            await store.report(Report(WSH1, 1, seq, 0, confirmed=(Jti("b"), Jti("c")), closed=closed))
        clock.now += 60.0
        await store.sweep()
        assert store.counts() == {"confirmed": 2, "expired": 2, "cancelled": 1, "closed": 2, "late": 2}


async def test_the_registry_alone_is_enough(store: Store) -> None:
    await store.sync(1, [Known(WSH1, "http://h:1", capacity=1)])
    got = await seat(store, "a")
    assert (got.epoch, got.url) == (0, "http://h:1")
    assert isinstance(await store.alloc(request("b")), SeatRefused)
    await store.sync(1, [])  # not newer
    assert len(await store.states()) == 1
    await store.sync(2, [])
    assert await store.states() == ()


async def test_a_late_ticket_asks_for_room(store: Store) -> None:
    await store.hello(hello())
    for jti in "ab":
        await seat(store, jti)
    assert await store.admit_late(WSH1, 1, Jti("a"))
    assert not await store.admit_late(WSH1, 1, Jti("c"))
    assert not await store.admit_late(WSH1, 2, Jti("a"))
    assert not await store.admit_late(WSH2, 1, Jti("a"))


async def test_a_late_ticket_has_no_place_at_another_handler(store: Store) -> None:
    """Also where there is room, and where that handler's incarnation has the same number."""
    for name in (WSH1, WSH2):
        await store.hello(hello(name=name))
    got = await seat(store, "a", exclude=frozenset({WSH2}))
    assert not await store.admit_late(WSH2, 1, got.jti)
    assert await store.admit_late(WSH1, 1, got.jti)
    assert [state.held for state in await store.states()] == [1, 0]


async def test_a_handler_that_never_said_hello_has_the_capacity_and_weight_the_registry_says(
    store: Store,
) -> None:
    for index, (says, capacity, weight) in enumerate([(None, 2, 1), (1, 1, 4), (None, 2, 2)], start=1):
        await store.sync(index, [Known(WSH1, "http://h:1", capacity=says, weight=weight)])
        (state,) = await store.states()
        assert (state.capacity, state.weight) == (capacity, weight)
    await store.hello(replace(hello(), capacity=7, weight=3))
    await store.sync(9, [Known(WSH1, "http://h:1", capacity=5, weight=5)])
    (state,) = await store.states()
    assert (state.capacity, state.weight) == (7, 3)


async def test_a_repeated_request_gets_the_same_seat(store: Store) -> None:
    await store.hello(hello())
    first = await seat(store, "a", uid=Uid("ann"), client_id="phone")
    again = await seat(store, "b", uid=Uid("ann"), client_id="phone")
    assert (again.jti, again.ticket_until) == (first.jti, first.ticket_until)
    assert (await store.states())[0].held == 1


async def test_a_ticket_that_came_late_is_in_use_so_a_repeat_gets_another_seat(store: Store) -> None:
    await store.hello(hello())
    first = await seat(store, "a", uid=Uid("ann"), client_id="phone")
    assert await store.admit_late(WSH1, 1, first.jti)
    assert (await seat(store, "b", uid=Uid("ann"), client_id="phone")).jti == "b"


async def test_a_user_sits_where_they_connected_last(store: Store) -> None:
    for name in (WSH1, WSH2):
        await store.hello(hello(name=name))
    one, other = [await seat(store, jti, uid=Uid("ann")) for jti in ("z", "a")]
    for seq, last in enumerate((other, one, other), start=1):
        await store.report(Report(last.handler, 1, seq, 1, (last.jti,)))
        located = await store.locate(Uid("ann"))
        assert located is not None
        assert located.handler == last.handler


async def test_who_sits_at_a_handler_has_a_seat_there_used_or_not(store: Store) -> None:
    await store.hello(hello())
    await seat(store, "held", uid=Uid("held"))
    await seat(store, "active", uid=Uid("active"))
    await store.report(Report(WSH1, 1, 1, 1, confirmed=(Jti("active"),)))
    await store.hello(hello(name=WSH2))
    await seat(store, "moving", uid=Uid("moving"), moving=True, exclude=frozenset([WSH1]))
    uids = [Uid(uid) for uid in ("held", "active", "moving", "nobody", "\udcff")]
    assert await store.seated(WSH1, uids) == {"held", "active"}
    assert await store.seated(WSH2, uids) == {"moving"}
    assert await store.seated(HandlerId("unknown"), uids) == set()
    await store.report(Report(WSH1, 1, 2, 0, closed=(Jti("active"),)))
    assert await store.seated(WSH1, uids) == {"held"}
    await store.hello(hello(epoch=2))
    assert await store.seated(WSH1, uids) == set()
    assert await store.seated(WSH1, []) == set()
