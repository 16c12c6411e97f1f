import random

import pytest
from structlog.testing import capture_logs

from handlers.model import (
    Admin,
    HandlerId,
    HandlerState,
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
from handlers.runtime.standby import Standby
from handlers.stores.base import StoreUnreachable

WSH1, WSH2 = HandlerId("WSH1"), HandlerId("WSH2")


class Watched:
    """A standby with a clock that stands still until it is told otherwise."""

    def __init__(self, rng: random.Random) -> None:
        self.now = 100.0
        self.standby = Standby(PoolSettings(), clock=lambda: self.now, rng=rng, gateways=lambda: 1)

    async def answers(self) -> None:
        async def answer() -> str:
            return "yes"

        assert await self.standby.asked(answer()) == "yes"

    async def fails(self) -> None:
        async def fail() -> None:
            raise StoreUnreachable

        with pytest.raises(StoreUnreachable):
            await self.standby.asked(fail())

    @property
    def mode(self) -> str:
        return self.standby.mode


@pytest.fixture
def watched(rng: random.Random) -> Watched:
    return Watched(rng)


def state(name: HandlerId, age: float = 0.0, epoch: int = 5) -> HandlerState:
    return HandlerState(name, f"http://{name}:1", epoch, 10, 0, 0, Admin.UP, True, "", age, tokens=9.0)


def request() -> SeatRequest:
    return SeatRequest(Uid("ann"), Jti("a"))


async def test_a_whole_outage_is_said_in_two_lines(watched: Watched) -> None:
    standby = watched.standby
    standby.seen([state(WSH1), state(WSH2)])
    with capture_logs() as logs:
        assert watched.mode == "exact"
        for _ in range(3):
            await watched.fails()
        assert watched.mode == "degraded"
        watched.now += 10.0
        await watched.answers()
        standby.seen([state(WSH1, age=10.0), state(WSH2, age=10.0)])
        assert watched.mode == "degraded", "it still knows only what was true before"
        watched.now += 0.75
        standby.seen([state(WSH1, age=0.5), state(WSH2, age=0.25)])
        assert watched.mode == "exact"
        await watched.answers()
    assert logs == [
        {
            "event": "seats_estimated",
            "log_level": "warning",
            "pool": "default",
            "reason": "store_unreachable",
        },
        {"event": "seats_exact_again", "log_level": "info", "pool": "default", "after_s": 10.75},
    ]


async def test_a_store_that_lost_its_handlers_is_not_relied_on_until_they_are_back(watched: Watched) -> None:
    standby = watched.standby
    standby.seen([state(WSH1), state(WSH2)])
    with capture_logs() as logs:
        standby.seen([])
        assert watched.mode == "degraded"
        assert isinstance(standby.reserve(request()), Seat)
        watched.now += 1.0
        standby.seen([state(WSH1)])
        assert watched.mode == "degraded"
        standby.seen([state(WSH1), state(WSH2)])
        assert watched.mode == "exact"
    assert [entry.get("reason") for entry in logs] == ["store_has_lost_handlers", None]


async def test_handlers_that_do_not_come_back_are_believed_gone_once_and_for_all(watched: Watched) -> None:
    standby = watched.standby
    standby.seen([state(WSH1), state(WSH2)])
    standby.seen([])
    watched.now += 2.0
    standby.seen([])
    assert watched.mode == "exact"
    standby.seen([])
    assert watched.mode == "exact", "it must not go back and forth"
    assert isinstance(standby.reserve(request()), SeatRefused)


async def test_it_listens_while_all_is_well(watched: Watched) -> None:
    standby = watched.standby
    standby.listed([Known(WSH1, "http://h:1", speaks=True)])
    assert standby.hello(Hello(WSH1, 5, "http://h:1", "/ws", 2)) is None
    assert standby.report(Report(WSH1, 5, 1, 1)) is None
    seat = standby.reserve(request())
    assert isinstance(seat, Seat)
    assert seat.load == 2
    assert standby.cancel(seat.jti)
    standby.seated(seat)
    assert isinstance(standby.reserve(request()), SeatRefused)
    assert repr(standby).startswith("<Standby: <Outage: exact")
