import json
import random
from typing import Any

import pytest
from structlog.testing import capture_logs

from handlers.address import BadAddress
from handlers.answers import ComeBack, Grant
from handlers.model import (
    DrainOrder,
    HandlerId,
    Hello,
    Jti,
    PoolSettings,
    Report,
    ReportRefusal,
    ReportRefused,
    Seat,
    SeatRefusal,
    SeatRefused,
    SeatRequest,
)
from handlers.runtime.allocator import Allocator
from handlers.stores.base import StoreUnreachable
from handlers.stores.memory import MemoryStore
from handlers.ticket import Gatekeeper, TicketClaims, verify
from registry.model import Health, Instance, InstanceId, ServiceName, ServiceSnapshot, Status, snapshot
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

SERVICE = ServiceName("websocket-handler")


class HasNoTime(ComesAndGoes):
    """A store whose handlers take in nobody at this moment: `slots` are the appointments it has."""

    def __init__(self, pool: PoolSettings, clocks: Clocks, *slots: float) -> None:
        super().__init__(pool, clocks)
        self.slots = [*slots]
        self.came: list[float | None] = []

    async def alloc(self, request: SeatRequest) -> Seat | SeatRefused:
        self.asked += 1
        self.came.append(request.slot)
        slot = self.slots.pop() if self.slots else None
        wait_s = 60.0 if slot is None else max(0.25, slot - self._clock())
        return SeatRefused(SeatRefusal.COME_BACK, wait_s, slot, self._clock())


class AnswersSlowly(MemoryStore):
    """A store that takes a second to answer: its time of the answer is a second after the question."""

    def __init__(self, pool: PoolSettings, clocks: Clocks) -> None:
        super().__init__(pool, clocks.store)
        self.clocks = clocks

    async def alloc(self, request: SeatRequest) -> Seat | SeatRefused:
        answer = await super().alloc(request)
        self.clocks.passed += 1.0
        return answer


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def allocator(clocks: Clocks, rng: random.Random) -> Allocator:
    return made(MemoryStore(POOL, clocks.store), clocks, rng)


def instance(name: str, health: Health = Health.PASSING, **meta: str) -> Instance:
    return Instance(InstanceId(name), SERVICE, "10.0.0.1", 8001, "10.0.0.1", health, meta=meta)


def listed(version: int, *instances: Instance, status: Status = Status.KNOWN) -> ServiceSnapshot:
    return snapshot(SERVICE, status, version=version, instances=instances)


def claims_of(grant: Grant, now: float, epoch: int = 5) -> TicketClaims:
    key = SECRETS.key_for(HandlerId(grant.handler_id), epoch)
    keeper = Gatekeeper(HandlerId(grant.handler_id), epoch, SECRETS.issuer, {key.kid: key.key})
    claims = verify(grant.ticket, keeper, now)
    assert isinstance(claims, TicketClaims)
    return claims


async def granted(allocator: Allocator, uid: str = "ann", **more: Any) -> Grant:
    grant = await allocator.allocate(uid, **more)
    assert isinstance(grant, Grant)
    return grant


async def test_a_grant_tells_the_client_where_to_go_and_the_ticket_says_the_same(
    allocator: Allocator, clocks: Clocks
) -> None:
    await allocator.hello(hello())
    grant = await granted(allocator)
    assert json.loads(grant.json()) | {"ticket": "", "session_id": ""} == {
        "websocket_handler_url": "https://h1.example",
        "handler_id": "WSH1",
        "websocket_url": "wss://h1.example/ws",
        "ticket": "",
        "ticket_expires_in": 60,
        "guaranteed_for": 12,
        "session_id": "",
        "reconnect": {"first_ms": [0, 1000], "base_ms": 1000, "cap_ms": 30000, "jitter": "full"},
    }
    claims = claims_of(grant, clocks.unix())
    assert (claims.uid, claims.jti, claims.session_id) == ("ann", grant.jti, grant.session_id)
    assert (claims.issued_at, claims.expires_at) == (1_700_000_000, 1_700_000_060)
    assert claims.guaranteed_until == 1_700_000_012.5
    assert len(grant.jti) == 32


async def test_a_slow_store_shortens_the_guarantee_and_never_stretches_it(
    clocks: Clocks, rng: random.Random
) -> None:
    """The store's hold began when it decided, so the time of asking is the safe one to count from."""
    allocator = made(AnswersSlowly(POOL, clocks), clocks, rng)
    await allocator.hello(hello())
    asked_at = clocks.unix()
    grant = await granted(allocator)
    assert claims_of(grant, clocks.unix()).guaranteed_until == asked_at + 12


async def test_a_repeat_gets_the_same_seat_and_a_ticket_that_ends_with_the_first(
    allocator: Allocator, clocks: Clocks
) -> None:
    await allocator.hello(hello())
    first = await granted(allocator, client_id="phone")
    clocks.passed = 2.75
    await allocator.report(Report(WSH1, 5, 1, 0))
    again = await granted(allocator, client_id="phone")
    assert (again.jti, again.session_id) == (first.jti, first.session_id)
    assert (again.ticket_expires_in, again.guaranteed_for) == (57, 9)
    ends = [claims_of(grant, clocks.unix()).expires_at for grant in (first, again)]
    assert ends[0] == ends[1]


async def test_every_ticket_has_a_name_of_its_own(clocks: Clocks) -> None:
    """Also without a seed: names come from the system's randomness then."""
    allocator = Allocator(MemoryStore(PoolSettings(), clocks.store), POOL, SECRETS, clock=clocks.unix)
    await allocator.hello(Hello(WSH1, 5, "http://h:1", "/ws", 100))
    names = {(await granted(allocator, f"user {number}")).jti for number in range(50)}
    assert len(names) == 50


async def test_each_no_has_its_reason(allocator: Allocator) -> None:
    assert await allocator.allocate("ann") == SeatRefused(SeatRefusal.NO_HANDLERS, 3.0)
    await allocator.hello(hello())
    for uid in ("bob", "eve"):
        await granted(allocator, uid)
    full = await allocator.allocate("ann")
    assert isinstance(full, SeatRefused)
    assert full.reason is SeatRefusal.NO_CAPACITY


async def test_a_cancelled_seat_is_free(allocator: Allocator) -> None:
    await allocator.hello(hello())
    grant = await granted(allocator)
    await granted(allocator, "bob")
    await allocator.cancel(grant.jti)
    await granted(allocator, "eve")


async def test_a_seat_that_can_not_be_cancelled_is_left_to_run_out(
    clocks: Clocks, rng: random.Random
) -> None:
    store = ComesAndGoes(POOL, clocks)
    store.away = True
    allocator = made(store, clocks, rng)
    with capture_logs() as logs:
        await allocator.cancel(Jti("a"))
    assert [entry["event"] for entry in logs] == ["seats_estimated", "seat_not_cancelled"]


async def test_last_and_excluded_handlers_are_heeded(allocator: Allocator) -> None:
    for name in (WSH1, WSH2):
        await allocator.hello(hello(name))
    assert (await granted(allocator, last="WSH2")).handler_id == "WSH2"
    assert (await granted(allocator, "bob", exclude=["WSH1"])).handler_id == "WSH2"


async def test_a_handler_gets_its_key_and_no_other(allocator: Allocator) -> None:
    answer = await allocator.hello(hello())
    assert not isinstance(answer, ReportRefused)
    assert answer.key == SECRETS.key_for(WSH1, 5)
    assert answer.audience == "wsh:WSH1"


@pytest.mark.parametrize("url", ["", "ftp://h", "http://u:p@h"])
async def test_a_hello_that_can_not_be_right_is_an_error_that_names_the_field(
    allocator: Allocator, url: str
) -> None:
    with pytest.raises(BadAddress, match="public_url"):
        await allocator.hello(Hello(WSH1, 5, url, "/ws", 2))
    assert await allocator.states() == ()


async def test_handlers_are_refused_by_epoch(allocator: Allocator) -> None:
    assert await allocator.report(Report(WSH1, 5, 1, 0)) == ReportRefused(ReportRefusal.UNKNOWN_HANDLER)
    await allocator.hello(hello(epoch=6))
    assert await allocator.hello(hello()) == ReportRefused(ReportRefusal.STALE_EPOCH)
    assert await allocator.report(Report(WSH1, 5, 1, 0)) == ReportRefused(ReportRefusal.STALE_EPOCH)


async def test_a_drained_handler_is_told_with_its_next_report(allocator: Allocator, clocks: Clocks) -> None:
    await allocator.hello(hello())
    told = []
    for seq, order in enumerate([DrainOrder(20.0, 4.0), None], 1):
        assert await allocator.drain(WSH1, order)
        clocks.passed += 5.0
        answer = await allocator.report(Report(WSH1, 5, seq, 0))
        assert not isinstance(answer, ReportRefused)
        told.append((answer.draining, answer.drain))
    assert told == [(True, DrainOrder(15.0, 4.0)), (False, None)]
    assert not await allocator.drain(WSH2, DrainOrder(20.0))


async def test_so_is_one_in_maintenance(allocator: Allocator) -> None:
    await allocator.hello(hello())
    await allocator.sync(listed(1, instance("WSH1", Health.MAINTENANCE, sdk="1")))
    answer = await allocator.report(Report(WSH1, 5, 1, 0))
    assert not isinstance(answer, ReportRefused)
    assert answer.draining


async def test_advice_counts_on_the_handlers_that_are_left(allocator: Allocator) -> None:
    windows: list[float] = []
    for name in (WSH1, WSH2, HandlerId("WSH3")):
        await allocator.hello(hello(name))
        await allocator.sweep()
        answer = await allocator.report(Report(WSH1, 5, len(windows) + 1, 1600))
        assert not isinstance(answer, ReportRefused)
        windows.append(answer.advice.first_s)
    assert windows == [8.0, 8.0, 4.0]


async def test_registered_handlers_are_used_and_a_bad_one_is_left_out_alone(allocator: Allocator) -> None:
    bad = instance("WSH2", public_url="javascript:alert(1)")
    with capture_logs() as logs:
        await allocator.sync(listed(1, instance("WSH1", capacity="1", path="/chat"), bad))
        await allocator.sync(listed(2, instance("WSH1", capacity="1", path="/chat"), bad))
    assert [(entry["event"], entry["handler"]) for entry in logs] == [("handler_left_out", "WSH2")]
    assert "public_url" in logs[0]["reason"]
    grant = await granted(allocator)
    assert (grant.url, grant.path) == ("http://10.0.0.1:8001", "/chat")
    assert isinstance(await allocator.allocate("bob"), SeatRefused)


async def test_only_passing_handlers_get_clients(allocator: Allocator) -> None:
    await allocator.sync(listed(1, instance("WSH1", Health.CRITICAL), instance("WSH2")))
    assert (await granted(allocator)).handler_id == "WSH2"


async def test_a_registered_sdk_handler_waits_for_its_hello(allocator: Allocator) -> None:
    await allocator.sync(listed(1, instance("WSH1", sdk="1")))
    assert isinstance(await allocator.allocate("ann"), SeatRefused)
    await allocator.hello(hello())
    await granted(allocator)


async def test_a_registry_that_can_not_be_asked_changes_nothing(allocator: Allocator) -> None:
    await allocator.sync(listed(1, instance("WSH1")))
    await allocator.sync(listed(2, status=Status.UNREACHABLE))
    await granted(allocator)
    await allocator.sync(listed(3, status=Status.UNKNOWN))
    assert await allocator.states() == ()


async def test_late_tickets_and_places_are_asked_of_the_store(allocator: Allocator, clocks: Clocks) -> None:
    await allocator.hello(hello())
    grant = await granted(allocator)
    assert await allocator.admit_late(WSH1, 5, grant.jti)
    assert not await allocator.admit_late(WSH1, 4, grant.jti)
    located = await allocator.locate("ann")
    assert located is not None
    assert located.handler == WSH1
    assert repr(allocator) == "<Allocator default: exact, 0 handlers open>"
    clocks.passed = 15.0
    assert await allocator.sweep() == 1


# --- sessions and appointments -------------------------------------------------------------------

SESSION = "0123456789abcdef" * 2


async def test_a_client_resumes_its_session_with_a_ticket_of_its_own(
    allocator: Allocator, clocks: Clocks
) -> None:
    await allocator.hello(hello())
    grant = await granted(allocator, session_id=SESSION)
    claims = claims_of(grant, clocks.unix())
    assert (grant.session_id, claims.session_id) == (SESSION, SESSION)
    assert claims.jti == grant.jti != SESSION
    assert (await granted(allocator, "bob", session_id="../bob")).session_id != "../bob"


async def come_back(allocator: Allocator, uid: str = "ann", token: str | None = None) -> ComeBack:
    told = await allocator.allocate(uid, queue_token=token)
    assert isinstance(told, ComeBack)
    return told


async def test_an_appointment_is_told_in_unix_time_and_comes_back_as_it_was(
    clocks: Clocks, rng: random.Random
) -> None:
    slot = clocks.store() + 12.5
    store = HasNoTime(POOL, clocks, slot)
    allocator = made(store, clocks, rng)
    told = await come_back(allocator)
    assert (told.retry_after_s, told.retry_at_ms) == (12.5, 1_700_000_013_000)
    assert told.queue_token is not None
    store.slots = [slot, slot]
    await come_back(allocator, token=told.queue_token)
    await come_back(allocator, "bob", told.queue_token)
    assert store.came == [None, slot, None], "nobody else's appointment"
    clocks.passed += 13.0
    store.slots = [slot]
    late = await come_back(allocator, token=told.queue_token)
    assert (late.retry_after_s, late.queue_token) == (0.25, told.queue_token), "it was in time"


async def test_a_full_book_is_not_asked_again_and_everybody_comes_back_some_time(
    clocks: Clocks, rng: random.Random
) -> None:
    store = HasNoTime(POOL, clocks)
    allocator = made(store, clocks, rng)
    waits = set()
    for _ in range(50):
        told = await come_back(allocator)
        assert told[1:] == (None, None)
        assert 30 <= told.retry_after_s <= 60
        waits.add(told.retry_after_s)
    assert store.asked == 1
    assert len(waits) == 50
    clocks.passed += 1.0
    store.slots = [clocks.store() + 59]
    assert (await come_back(allocator)).queue_token is not None
    assert store.asked == 2


async def test_who_has_an_appointment_is_asked_for_although_the_book_is_full(
    clocks: Clocks, rng: random.Random
) -> None:
    store = HasNoTime(POOL, clocks, clocks.store() + 5)
    allocator = made(store, clocks, rng)
    token = (await come_back(allocator)).queue_token
    await come_back(allocator, "bob")
    await come_back(allocator, "ann", token)
    assert store.asked == 3


# --- without the store ---------------------------------------------------------------------------


async def fleet_of_two(clocks: Clocks, rng: random.Random) -> tuple[Allocator, ComesAndGoes]:
    store = ComesAndGoes(POOL, clocks)
    allocator = made(store, clocks, rng)
    for name in (WSH1, WSH2):
        await allocator.hello(hello(name))
    await allocator.sweep()
    return allocator, store


async def test_in_an_outage_the_handlers_can_still_be_seen(clocks: Clocks, rng: random.Random) -> None:
    allocator, store = await fleet_of_two(clocks, rng)
    assert await allocator.view() == await store.states()
    store.away = True
    for _ in range(2):
        assert [(seen.id, seen.eligible) for seen in await allocator.view()] == [(WSH1, True), (WSH2, True)]


async def test_the_first_client_that_finds_the_store_away_gets_a_seat_and_the_next_does_not_even_ask(
    clocks: Clocks, rng: random.Random
) -> None:
    allocator, store = await fleet_of_two(clocks, rng)
    store.away = True
    grants = [await granted(allocator, uid) for uid in ("ann", "bob", "eve")]
    assert store.asked == 1
    assert allocator.mode == "degraded"
    for grant in grants:
        claims = claims_of(grant, clocks.unix())
        assert claims.degraded
        assert (grant.guaranteed_for, claims.guaranteed_until) == (0, clocks.unix())
        assert (grant.ticket_expires_in, claims.session_id) == (60, grant.jti)
    assert isinstance(await allocator.allocate("zoe"), Grant)
    full = await allocator.allocate("tom")
    assert isinstance(full, SeatRefused)
    assert full.reason is SeatRefusal.NO_CAPACITY
    await allocator.cancel(grants[0].jti)
    assert (await granted(allocator, "tom")).handler_id == grants[0].handler_id


async def test_a_seat_that_the_store_may_have_reserved_unheard_has_another_name(
    clocks: Clocks, rng: random.Random
) -> None:
    class AnswersTooLate(ComesAndGoes):
        async def alloc(self, request: SeatRequest) -> Seat | SeatRefused:
            self.reserved = await super().alloc(request)
            raise StoreUnreachable

    store = AnswersTooLate(POOL, clocks)
    allocator = made(store, clocks, rng)
    await allocator.hello(hello())
    grant = await granted(allocator)
    assert isinstance(store.reserved, Seat)
    assert grant.jti != store.reserved.jti


async def test_nobody_is_known_to_a_gateway_that_never_saw_the_store(
    clocks: Clocks, rng: random.Random
) -> None:
    store = ComesAndGoes(POOL, clocks)
    store.away = True
    allocator = made(store, clocks, rng)
    assert await allocator.allocate("ann") == SeatRefused(
        SeatRefusal.NO_HANDLERS, 3.0, now=clocks.monotonic()
    )
    assert await allocator.report(Report(WSH1, 5, 1, 0)) == ReportRefused(ReportRefusal.UNKNOWN_HANDLER)
    answer = await allocator.hello(hello())
    assert not isinstance(answer, ReportRefused)
    assert answer.key == SECRETS.key_for(WSH1, 5)
    assert await allocator.hello(hello(epoch=4)) == ReportRefused(ReportRefusal.STALE_EPOCH)
    with pytest.raises(StoreUnreachable):
        await allocator.report(Report(WSH1, 5, 2, 1))
    await granted(allocator)
    assert isinstance(await allocator.allocate("bob"), SeatRefused), "its report was noted"


async def test_what_the_registry_says_counts_at_once_while_the_store_is_away(
    clocks: Clocks, rng: random.Random
) -> None:
    allocator, store = await fleet_of_two(clocks, rng)
    store.away = True
    with pytest.raises(StoreUnreachable):
        await allocator.sync(listed(1, instance("WSH1", Health.CRITICAL, sdk="1"), instance("WSH2", sdk="1")))
    assert {(await granted(allocator, uid)).handler_id for uid in ("ann", "bob")} == {"WSH2"}


async def test_come_back_works_without_a_book(clocks: Clocks, rng: random.Random) -> None:
    store = ComesAndGoes(POOL, clocks)
    pool = PoolSettings(joins_per_s=2.0, joins_burst=1)
    allocator = Allocator(store, pool, SECRETS, clock=clocks.unix, monotonic=clocks.monotonic, rng=rng)
    await allocator.hello(Hello(WSH1, 5, "http://h:1", "/ws", 100))
    store.away = True
    await granted(allocator)
    assert [await come_back(allocator) for _ in range(2)] == [
        ComeBack(0.5, None, None),
        ComeBack(1.0, None, None),
    ]
    clocks.passed += 0.5
    await granted(allocator)


async def test_it_is_exact_again_when_nearly_all_have_reported(clocks: Clocks, rng: random.Random) -> None:
    allocator, store = await fleet_of_two(clocks, rng)
    store.away = True
    await granted(allocator)
    clocks.passed += 10.0
    for name in (WSH1, WSH2):
        with pytest.raises(StoreUnreachable):
            await allocator.report(Report(name, 5, 1, 1))
    with pytest.raises(StoreUnreachable):
        await allocator.sweep()
    store.away = False
    await allocator.sweep()
    assert allocator.mode == "degraded"
    clocks.passed += 0.5
    for name in (WSH1, WSH2):
        assert (await answered(allocator, Report(name, 5, 2, 1))).draining is False
    await allocator.sweep()
    assert allocator.mode == "exact"
    assert not claims_of(await granted(allocator, "bob"), clocks.unix()).degraded
    assert allocator.counts() == store.counts()


async def test_why_a_seat_went_where_it_did(allocator: Allocator) -> None:
    await allocator.hello(hello())
    await granted(allocator)
    decision = await allocator.decision(1)
    assert decision is not None
    assert (decision.uid, decision.chosen) == ("ann", WSH1)
    assert await allocator.decision(2) is None


async def test_an_outage_knows_of_the_seats_given_since_the_store_was_last_looked_at(
    clocks: Clocks, rng: random.Random
) -> None:
    store = ComesAndGoes(POOL, clocks)
    allocator = made(store, clocks, rng)
    await allocator.hello(hello())
    await allocator.sweep()
    for uid in ("ann", "bob"):
        assert isinstance(await allocator.allocate(uid), Grant)
    store.away = True
    assert isinstance(await allocator.allocate("eve"), SeatRefused)
