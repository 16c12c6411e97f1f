"""What is the Redis store's own: gateways that share it, and Redis going away. Its promises are in the
contract suite."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from redis.asyncio import Redis
from redis.crc import key_slot
from structlog.testing import capture_logs

from handlers.model import (
    HandlerId,
    Hello,
    Jti,
    Known,
    PoolSettings,
    Report,
    Seat,
    SeatRefused,
    SeatRequest,
    Uid,
)
from handlers.stores import redis as redis_store
from handlers.stores.base import Store, StoreUnreachable
from handlers.stores.redis import KEYS, PARTS, PORTION, open_store, script_text
from registry.runtime.tasks import Tasks
from tests.handlers.machine import THROTTLED, SeatMachine
from tests.handlers.subjects import AlternatingSubject
from tests.servers import RedisServer, forget_all, hasty, own_redis, patient

WSH1, P = HandlerId("WSH1"), HandlerId("P")


@pytest.fixture
def url(redis_url: str) -> str:
    forget_all(redis_url)
    return patient(redis_url)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    async with open_store(PoolSettings(), url) as opened:
        yield opened


@pytest.fixture
async def server(url: str) -> AsyncIterator[Redis]:
    """The same Redis, to look into it."""
    client = Redis.from_url(url)
    yield client
    await client.aclose()


async def names(server: Redis) -> list[str]:
    return [key.decode() if isinstance(key, bytes) else key for key in await server.keys("*")]


def hello(name: HandlerId = WSH1, epoch: int = 1, capacity: int = 10) -> Hello:
    return Hello(name, epoch, f"http://{name}:1", "/ws", capacity)


def request(jti: str, uid: str | None = None, client_id: str | None = None) -> SeatRequest:
    return SeatRequest(Uid(uid or f"user of {jti}"), Jti(jti), client_id)


# --- several gateways ----------------------------------------------------------------------------


def test_a_bad_day_with_two_gateways(url: str) -> None:
    """The machine again, with every other call through another gateway's store."""

    class GatewaysMachine(SeatMachine):
        pool = THROTTLED

        @staticmethod
        def open(pool: PoolSettings, clock: Callable[[], float]) -> AlternatingSubject:
            forget_all(url)
            return AlternatingSubject(open_store, url, pool, clock)

    run_state_machine_as_test(GatewaysMachine, settings=settings(max_examples=12, stateful_step_count=40))


async def test_gateways_that_allocate_at_once_spread_evenly_and_never_beyond_the_capacity(url: str) -> None:
    """I9 and I1, with every gateway asking as fast as it can."""
    handlers, capacity = 10, 30
    async with AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(open_store(PoolSettings(), url)) for _ in range(3)]
        for number in range(handlers):
            await gateways[0].hello(hello(HandlerId(f"WSH{number}"), capacity=capacity))

        async def allocate(number: int) -> Seat | SeatRefused:
            return await gateways[number % 3].alloc(request(f"seat {number}"))

        async def spread() -> int:
            held = [state.held for state in await gateways[0].states()]
            assert max(held) <= capacity
            return max(held) - min(held)

        for start in range(0, 280, 70):
            await asyncio.gather(*map(allocate, range(start, start + 70)))
            assert await spread() <= 1
        got = await asyncio.gather(*map(allocate, range(280, 340)))
        assert sum(isinstance(seat, Seat) for seat in got) == 20
        assert await spread() == 0


async def test_pools_share_nothing(url: str) -> None:
    async with (
        open_store(PoolSettings(name="chat"), url) as chat,
        open_store(PoolSettings(name="feed"), url) as feed,
    ):
        await chat.hello(hello())
        assert await feed.states() == ()
        assert repr(chat) == "<RedisStore chat: <Batches: 0 waiting, none under way>>"


async def test_a_gateway_takes_out_only_what_it_has_seen_go(url: str) -> None:
    """One that has just started, or may not read the registry, must not empty the pool for all others."""
    async with open_store(PoolSettings(), url) as one, open_store(PoolSettings(), url) as other:
        await one.sync(7, [Known(WSH1, "http://h:1")])
        await one.sync(6, [])  # an index counts what one gateway has seen
        await other.sync(1, [])
        assert len(await one.states()) == 1
        await other.sync(2, [Known(WSH1, "http://h:1")])
        await other.sync(3, [])
        assert await one.states() == ()


async def test_a_handler_that_left_the_registry_while_no_gateway_looked_is_gone_after_a_minute(
    url: str,
) -> None:
    now = 0.0
    async with open_store(PoolSettings(), url, clock=lambda: now) as leaving:
        await leaving.sync(1, [Known(WSH1, "http://h:1"), Known(HandlerId("WSH2"), "http://h:2")])
    async with open_store(PoolSettings(), url, clock=lambda: now) as store:
        await store.sync(1, [Known(WSH1, "http://h:1")])
        for _ in range(100):
            now += 1.0
            await store.sweep()
        assert [(state.id, state.why_not) for state in await store.states()] == [(WSH1, "")]


class Minutes:
    """A clock, and the sweepers of the gateways that live by it."""

    now = 0.0
    stores: tuple[Store, ...] = ()

    def __call__(self) -> float:
        return self.now

    async def pass_by(self, minutes: int = 3) -> None:
        for _ in range(minutes * 12):
            self.now += 5.0
            for store in self.stores:
                await store.sweep()


@pytest.fixture
async def cut_off(url: str) -> AsyncIterator[tuple[Store, Store, Minutes]]:
    """Two gateways that have seen a plain handler P and WSH1; the other hears nothing of the registry since
    then, and knows nothing of that."""
    minutes = Minutes()
    async with (
        open_store(PoolSettings(), url, clock=minutes) as one,
        open_store(PoolSettings(), url, clock=minutes) as other,
    ):
        for gateway in (one, other):
            await gateway.sync(1, [Known(WSH1, "http://h:1"), Known(P, "http://p:1")])
        minutes.stores = one, other
        yield one, other, minutes


async def why_not(store: Store) -> dict[str, str]:
    return {state.id: state.why_not for state in await store.states()}


async def test_a_gateway_cut_off_from_the_registry_does_not_undo_what_the_others_hear(
    cut_off: tuple[Store, Store, Minutes],
) -> None:
    one, other, minutes = cut_off
    await one.sync(2, [Known(WSH1, "http://h:1", draining=True)])
    for _ in range(12):
        await minutes.pass_by(1)
        assert await why_not(other) == {WSH1: "maintenance"}


async def test_what_only_a_gateway_cut_off_has_seen_stays_while_it_lives(
    cut_off: tuple[Store, Store, Minutes],
) -> None:
    one, other, minutes = cut_off
    await other.sync(
        2, [Known(WSH1, "http://h:1"), Known(P, "http://p:1"), Known(HandlerId("Q"), "http://q:1")]
    )
    await minutes.pass_by()
    assert await why_not(one) == {WSH1: "", P: "", "Q": ""}


async def test_after_a_lost_redis_the_later_of_two_views_counts_whoever_tells_it_first(
    cut_off: tuple[Store, Store, Minutes], server: Redis
) -> None:
    one, other, minutes = cut_off
    minutes.now += 1.0
    await one.sync(2, [Known(WSH1, "http://h:1", draining=True), Known(P, "http://p:1")])
    for first, second in ((one, other), (other, one)):
        minutes.now += 1.0
        await server.flushall()
        for store in (first, first, second, second):
            await store.states()
        assert await why_not(one) == {WSH1: "maintenance", P: ""}


async def test_what_no_gateway_could_vouch_for_comes_back_with_the_first_that_can(
    cut_off: tuple[Store, Store, Minutes],
) -> None:
    one, other, minutes = cut_off
    await other.sync(2, [Known(HandlerId("Q"), "http://q:1")])
    await one.sync(2, [Known(WSH1, "http://h:1")])
    minutes.stores = (other,)
    await minutes.pass_by()
    assert await why_not(other) == {"Q": ""}
    minutes.stores = one, other
    await minutes.pass_by(1)
    assert await why_not(other) == {WSH1: "", "Q": ""}


async def test_a_gateway_says_once_that_a_handler_has_gone(url: str) -> None:
    """Another may have seen it come back since."""
    h, p = Known(WSH1, "http://h:1"), Known(P, "http://p:1")
    async with open_store(PoolSettings(), url) as one, open_store(PoolSettings(), url) as other:
        await one.sync(1, [h, p])
        await one.sync(2, [p])
        await other.sync(1, [h, p])
        await one.sync(3, [Known(P, "http://p:1", weight=2)])
        assert await why_not(one) == {WSH1: "", P: ""}


async def test_a_large_pool_is_told_of_in_runs_for_which_nobody_waits_long_and_swept_bit_by_bit(
    url: str, server: Redis
) -> None:
    minutes = Minutes()
    handlers = [Known(HandlerId(f"WSH{number:04}"), "http://h:1") for number in range(450)]
    async with open_store(PoolSettings(), url, clock=minutes) as store:
        await store.sync(1, handlers)
        await server.config_resetstat()
        assert [state.id for state in await store.states()] == [handler.id for handler in handlers]
        assert (await server.info("commandstats"))["cmdstat_evalsha"]["calls"] == 1 + 450 / PORTION
        minutes.stores = (store,)
        await minutes.pass_by()
        assert len(await store.states()) == 450
    async with open_store(PoolSettings(), url, clock=minutes) as store:
        minutes.stores = (store,)
        await minutes.pass_by()
        assert await store.states() == ()


# --- what is kept in Redis -----------------------------------------------------------------------


def test_every_part_of_the_script_is_used() -> None:
    files = {path.stem for path in (Path(redis_store.__file__).parent / "lua").glob("*.lua")}
    assert files == set(PARTS)
    assert "\n--" not in script_text()


async def test_all_keys_are_in_one_slot_named_after_the_script_and_gone_after_a_day(
    store: Store, server: Redis
) -> None:
    await store.hello(hello(capacity=1))
    await store.alloc(request("a", "ann"))
    await store.sync(1, [])
    await store.sweep()
    keys = await names(server)
    prefixes = {key.rpartition(":")[0] for key in keys}
    assert len(prefixes) == 1
    assert prefixes.pop().endswith(":{default}")
    assert {key.rpartition(":")[2] for key in keys} <= set(KEYS)
    assert len({key_slot(key.encode()) for key in keys}) == 1
    assert all([await server.pttl(key) > 0 for key in keys])


async def test_nothing_is_left_of_seats_that_are_over(url: str, server: Redis) -> None:
    """I4, in memory too: confirmed and closed, run out, cancelled, replaced, lost with their handler."""
    now = 0.0
    async with open_store(PoolSettings(capacity=1000, joins_burst=1000), url, clock=lambda: now) as store:
        await store.hello(hello(capacity=1000))
        for jti in map(str, range(600)):
            await store.alloc(request(jti, f"user {int(jti) % 200}"))
        await store.report(Report(WSH1, 1, 1, 300, confirmed=tuple(Jti(str(n)) for n in range(300))))
        await store.report(Report(WSH1, 1, 2, 0, closed=tuple(Jti(str(n)) for n in range(100))))
        await store.cancel(Jti("500"))
        await store.hello(hello(epoch=2, capacity=1000))  # 200 active ones are lost, and all others
        await store.alloc(request("new"))
        now += 1000.0
        for _ in range(10):
            await store.sweep()
        assert await store.states() == ()
        left = {key.rpartition(":")[2] for key in await names(server)}
        assert left == {"meta", "decisions"}


async def test_used_appointments_are_forgotten_when_they_would_be_good_no_more(
    url: str, server: Redis
) -> None:
    now = 1000.0
    pool = PoolSettings(capacity=1000, joins_per_s=100.0, horizon_s=2.0)
    async with open_store(pool, url, clock=lambda: now) as store:
        await store.sync(1, [Known(WSH1, "http://h:1")])
        for number in range(500):
            now += 1 / 64
            await store.alloc(request(str(number))._replace(slot=now))
        (slots,) = [key for key in await names(server) if key.endswith(":slots")]
        assert await server.zcard(slots) == 128
        now += 3.0
        await store.sweep()
        assert await server.exists(slots) == 0


async def test_what_runs_out_all_at_once_is_settled_in_portions_and_counted_too_high_meanwhile(
    url: str,
) -> None:
    now = 0.0
    async with open_store(PoolSettings(capacity=1000, joins_burst=1000), url, clock=lambda: now) as store:
        await store.sync(1, [Known(WSH1, "http://h:1")])
        await asyncio.gather(*(store.alloc(request(str(number))) for number in range(1000)))
        now += 15.0
        held = [(await store.states())[0].held for _ in range(6)]
        assert held == sorted(held, reverse=True)
        assert held[-1] == 0


async def test_names_that_are_no_text_spoil_nothing(store: Store) -> None:
    await store.hello(hello())
    odd, even = await asyncio.gather(
        store.alloc(SeatRequest(Uid("ann\udcff"), Jti("a"), "\udcff", HandlerId("\udcff"))),
        store.alloc(request("b", 'quote " NUL \0 colon : star * {brace}')),
    )
    assert isinstance(odd, Seat)
    assert isinstance(even, Seat)
    assert (await store.locate(even.uid)) is not None


async def test_a_number_as_large_as_a_nanosecond_clock_is_kept_whole(store: Store) -> None:
    await store.hello(hello(epoch=2**53))
    got = await store.alloc(request("a"))
    assert isinstance(got, Seat)
    assert got.epoch == 2**53


# --- time ----------------------------------------------------------------------------------------


async def test_its_clock_is_that_of_redis(store: Store, server: Redis) -> None:
    await store.hello(hello())
    seconds, micros = await server.time()
    got = await store.alloc(request("a"))
    assert isinstance(got, Seat)
    assert 0 <= got.now - (seconds + micros / 1e6) < 60


async def test_a_clock_set_back_does_not_keep_a_dead_handler_alive(url: str) -> None:
    now = 10_000.0
    async with open_store(PoolSettings(), url, clock=lambda: now) as store:
        await store.hello(hello())
        now = 5_000.0
        await store.sweep()
        assert (await store.states())[0].eligible
        now += 3.0
        assert (await store.states())[0].why_not == "silent"


async def test_a_clock_set_back_makes_nobody_wait_for_a_token_or_an_appointment_of_the_future(
    url: str,
) -> None:
    now = 10_000.0
    pool = PoolSettings(joins_per_s=1.0, joins_burst=1, horizon_s=5.0)
    async with open_store(pool, url, clock=lambda: now) as store:
        await store.sync(1, [Known(WSH1, "http://h:1")])
        assert isinstance(await store.alloc(request("a")), Seat)
        for jti in "bc":
            refused = await store.alloc(request(jti))
            assert isinstance(refused, SeatRefused)
            assert refused.slot is not None
        now = 5_000.0
        await store.sweep()
        assert isinstance(await store.alloc(request("d")), Seat)
        refused = await store.alloc(request("e"))
        assert isinstance(refused, SeatRefused)
        assert refused.slot == 5_002.0


# --- faults --------------------------------------------------------------------------------------


async def test_a_caller_that_is_cancelled_leaves_no_seat_behind(store: Store) -> None:
    await store.hello(hello())
    tasks = Tasks(died=lambda name, error: None)
    for turns in range(6):
        asking = tasks.start("client", store.alloc(request(f"gone {turns}")))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        other = await store.alloc(request(f"stays {turns}"))
        assert isinstance(other, Seat)
        assert other.jti == f"stays {turns}"
        await asyncio.gather(asking, return_exceptions=True)
    (state,) = await store.states()
    assert state.held == 6


@pytest.fixture
def own() -> Iterator[RedisServer]:
    with own_redis() as server:
        yield server


async def until_it_answers(store: Store) -> None:
    deadline = asyncio.get_running_loop().time() + 20
    while True:
        try:
            await store.states()
        except StoreUnreachable:
            assert asyncio.get_running_loop().time() < deadline, "it never answered again"
            await asyncio.sleep(0.02)
        else:
            return


async def test_a_redis_that_is_killed_is_unreachable_at_once_and_what_it_knew_comes_back(
    own: RedisServer,
) -> None:
    async with open_store(PoolSettings(), patient(own.url)) as store:
        await store.sync(1, [Known(WSH1, "http://h:1", draining=True), Known(HandlerId("P"), "http://p:1")])
        await store.hello(hello())
        own.stop()
        for call in (store.states(), store.alloc(request("a")), store.report(Report(WSH1, 1, 1, 0))):
            with pytest.raises(StoreUnreachable):
                await call
        own.start()
        await until_it_answers(store)
        refused = await store.report(Report(WSH1, 1, 2, 4))
        assert refused is not None
        await store.hello(hello())
        await store.report(Report(WSH1, 1, 3, 4))
        # The registry's view came back too, though the registry has said nothing since.
        states = {state.id: state for state in await store.states()}
        assert (states[WSH1].connections, states[WSH1].why_not) == (4, "maintenance")
        assert states[HandlerId("P")].eligible


async def test_a_redis_that_hangs_is_unreachable_within_its_timeout(own: RedisServer) -> None:
    async with open_store(PoolSettings(), hasty(own.url)) as store:
        await until_it_answers(store)
        own.pause()
        async with asyncio.timeout(10):
            for _ in range(5):
                asked = await asyncio.gather(
                    *(store.alloc(request(f"seat {n}")) for n in range(50)), return_exceptions=True
                )
                assert {type(error) for error in asked} == {StoreUnreachable}
        own.resume()
        await until_it_answers(store)
        await store.hello(hello())
        assert (await store.states())[0].id == WSH1


async def test_it_opens_while_redis_is_away_and_says_so(own: RedisServer) -> None:
    own.stop()
    url = own.url.replace("//", "//:secret@")
    with capture_logs() as logs:
        async with open_store(PoolSettings(), url) as store:
            with pytest.raises(StoreUnreachable):
                await store.states()
    assert (logs[0]["event"], logs[0]["setting"]) == ("store_unreachable", "store.url")
    assert "secret" not in str(logs)


async def test_a_script_that_was_flushed_is_brought_along(store: Store, server: Redis) -> None:
    await store.hello(hello())
    await server.script_flush()
    assert len(await store.states()) == 1


async def test_a_full_redis_is_unreachable_and_changes_nothing(store: Store, server: Redis) -> None:
    await store.hello(hello())
    await store.states()
    await server.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnreachable):
            await store.alloc(request("a"))
    finally:
        await server.config_set("maxmemory", 0)
    assert (await store.states())[0].held == 0
