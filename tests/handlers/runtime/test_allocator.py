import random
from typing import Any

import pytest
from structlog.testing import capture_logs

from handlers.address import BadAddress
from handlers.answers import Grant
from handlers.model import (
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
from handlers.stores.base import Store, StoreUnreachable
from handlers.stores.memory import MemoryStore
from handlers.ticket import Gatekeeper, TicketClaims, TicketSecrets, verify
from registry.model import Health, Instance, InstanceId, ServiceName, ServiceSnapshot, Status, snapshot

WSH1, WSH2 = HandlerId("WSH1"), HandlerId("WSH2")
SERVICE = ServiceName("websocket-handler")
SECRETS = TicketSecrets("a secret of the test's own cluster")
POOL = PoolSettings(capacity=2)


class Clocks:
    """Two clocks that agree on durations only."""

    def __init__(self) -> None:
        self.passed = 0.0

    def store(self) -> float:
        return 77.25 + self.passed

    def unix(self) -> float:
        return 1_700_000_000.5 + self.passed


class Unreachable(MemoryStore):
    """A store that does not answer."""

    async def cancel(self, jti: Jti) -> bool:
        raise StoreUnreachable


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


def made(store: Store, clocks: Clocks, rng: random.Random) -> Allocator:
    return Allocator(store, POOL, SECRETS, clock=clocks.unix, rng=rng)


def hello(name: HandlerId = WSH1, epoch: int = 5) -> Hello:
    return Hello(name, epoch, "https://h1.example", "/ws", 2)


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
    assert grant.body() | {"ticket": "", "session_id": ""} == {
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
    allocator = made(Unreachable(POOL, clocks.store), clocks, rng)
    with capture_logs() as logs:
        await allocator.cancel(Jti("a"))
    assert logs == [{"event": "seat_not_cancelled", "log_level": "warning", "reason": "store_unreachable"}]


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


async def test_a_drained_handler_is_told_with_its_next_report(allocator: Allocator) -> None:
    await allocator.hello(hello())
    told = []
    for seq, draining in enumerate([True, False], 1):
        assert await allocator.drain(WSH1, draining=draining)
        answer = await allocator.report(Report(WSH1, 5, seq, 0))
        assert not isinstance(answer, ReportRefused)
        told.append(answer.draining)
    assert told == [True, False]
    assert not await allocator.drain(WSH2, draining=True)


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
    assert grant.websocket_url == "ws://10.0.0.1:8001/chat"
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
    assert repr(allocator) == "<Allocator default: 0 handlers in use>"
    clocks.passed = 15.0
    assert await allocator.sweep() == 1
