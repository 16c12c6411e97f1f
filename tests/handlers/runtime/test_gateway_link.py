import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from structlog.testing import capture_logs

from handlers.model import DrainOrder, HandlerId, Hello, Jti
from handlers.outbox import Outbox
from handlers.runtime.gateway_client import GatewayClient
from handlers.runtime.gateway_link import KEYS_AGAIN_S, GatewayLink
from registry.runtime.tasks import Tasks
from tests.handlers.runtime.gateways import Gateway, forgets_handlers, gateway, until
from tests.servers import free_ports

WSH1 = HandlerId("WSH1")
REGISTER, REPORT = "/handlers/register", "/handlers/report"


class Process:
    """A handler process with a link and no sockets."""

    def __init__(self, client: GatewayClient, rng: random.Random, epoch: int = 5) -> None:
        self.epoch = epoch
        self.connections = 0
        self.now = 0.0
        self.link = GatewayLink(client, self.describe, Outbox(WSH1, epoch), rng=rng)

    def describe(self, known: tuple[Jti, ...]) -> Hello:
        return Hello(WSH1, self.epoch, "http://h:1", "/ws", 10, known=known, connections=self.connections)

    def admit(self, jti: str) -> None:
        self.connections += 1
        self.link.admitted(Jti(jti))


@asynccontextmanager
async def running(rng: random.Random, *gateways: str, timeout_s: float = 1.0) -> AsyncIterator[Process]:
    deaths: list[BaseException] = []
    tasks = Tasks(lambda _name, error: deaths.append(error))
    async with GatewayClient(gateways, timeout_s=timeout_s) as client:
        process = Process(client, rng)
        tasks.start("link", process.link.run())
        try:
            yield process
        finally:
            await tasks.close()
    assert not deaths


@pytest.fixture
async def good() -> AsyncIterator[Gateway]:
    async with gateway() as made:
        yield made


async def connections(made: Gateway) -> int:
    return (await made.allocator.states())[0].connections


async def test_it_introduces_itself_and_then_reports(good: Gateway, rng: random.Random) -> None:
    async with running(rng, good.url) as process:
        await until(lambda: process.link.gatekeeper)
        await until(lambda: good.of(REPORT))
        assert not process.link.closed
        assert process.link.reconnect["jitter"] == "full"
    assert [path for path, _ in good.calls][:2] == [REGISTER, REPORT]
    assert repr(process.link).startswith("<GatewayLink: introduced, <Outbox: seq")


async def test_many_clients_at_once_are_one_report(good: Gateway, rng: random.Random) -> None:
    async with running(rng, good.url) as process:
        await until(lambda: len(good.of(REPORT)) == 1)
        for number in range(200):
            process.admit(f"t{number}")
        await until(lambda: any(body["connections"] == 200 for body in good.of(REPORT)))
        assert await connections(good) == 200
    told = [body for body in good.of(REPORT) if body["confirmed"]]
    assert len(told) == 1
    assert [body["seq"] for body in good.of(REPORT)] == list(range(1, len(good.of(REPORT)) + 1))


async def test_it_reports_without_news_too(good: Gateway, rng: random.Random) -> None:
    """Or it would count as dead."""
    async with running(rng, good.url) as process:
        await until(lambda: process.link.gatekeeper)
        process.link._report_s = 0.02
        await until(lambda: len(good.of(REPORT)) >= 4)
    assert not any(body["confirmed"] or body["closed"] for body in good.of(REPORT))


async def test_news_is_kept_while_nobody_listens(good: Gateway, rng: random.Random) -> None:
    async with running(rng, good.url) as process:
        await until(lambda: good.of(REPORT))
        good.breaks_off = True
        process.admit("a")
        await asyncio.sleep(0.1)
        process.link.left(Jti("a"))
        process.connections = 0
        good.breaks_off = False
        await until(lambda: any(body["closed"] == ["a"] for body in good.of(REPORT)))
        assert good.of(REPORT)[-1]["confirmed"] in (["a"], [])


async def test_forgotten_it_says_hello_again_with_its_counts(good: Gateway, rng: random.Random) -> None:
    async with running(rng, good.url) as process:
        await until(lambda: good.of(REPORT))
        process.admit("a")
        await until(lambda: good.of(REPORT)[-1]["connections"] == 1)
        async with forgets_handlers(good):
            process.admit("b")
            await until(lambda: len(good.of(REGISTER)) == 2)
            assert good.of(REGISTER)[-1]["connections"] == 2
            assert good.of(REGISTER)[-1]["known"] == ["b"]
            await until(lambda: good.of(REPORT)[-1]["confirmed"] == ["b"])
            assert await connections(good) == 2


async def test_replaced_by_a_later_process_it_stops(good: Gateway, rng: random.Random) -> None:
    async with running(rng, good.url) as process:
        await until(lambda: good.of(REPORT))
        await good.allocator.hello(Hello(WSH1, 6, "http://h:1", "/ws", 10))
        process.admit("a")
        await until(lambda: process.link.superseded)
        said = len(good.calls)
        assert process.link.closed
        process.admit("b")
        await asyncio.sleep(0.1)
        assert len(good.calls) == said


async def test_it_goes_on_at_another_gateway_when_one_is_down(good: Gateway, rng: random.Random) -> None:
    is_down = f"http://127.0.0.1:{free_ports(1)[0]}"
    async with running(rng, is_down, good.url) as process:
        await until(lambda: process.link.gatekeeper, timeout_s=1.0)


async def test_it_goes_on_at_another_gateway_when_one_answers_slowly(
    good: Gateway, rng: random.Random
) -> None:
    async with gateway() as slow, running(rng, slow.url, good.url, timeout_s=0.05) as process:
        slow.answers_slowly = True
        await until(lambda: process.link.gatekeeper)
        assert good.of(REGISTER)


async def test_while_no_gateway_has_its_store_each_of_them_is_told(good: Gateway, rng: random.Random) -> None:
    """A gateway without a store hands out by what it has heard itself, so all must hear."""
    async with (
        gateway() as second,
        gateway() as third,
        running(rng, good.url, second.url, third.url) as process,
    ):
        await until(lambda: good.of(REPORT))
        process.link._report_s = 1000.0  # what follows does not wait for the time of the next report
        all_of_them = (good, second, third)
        for made in all_of_them:
            made.says = (503, b'{"error": "allocation_unavailable"}')
        process.admit("a")
        await until(lambda: all(len(made.of(REPORT)) >= 4 for made in all_of_them), timeout_s=10)
        told = [len([body for body in made.of(REPORT) if body["connections"] == 1]) for made in all_of_them]
        assert max(told) - min(told) <= 1
        for made in all_of_them:
            made.says = None
        await until(lambda: process.link._outbox.unconfirmed == ())


async def test_with_no_gateway_at_all_it_tries_on_without_hurry(good: Gateway, rng: random.Random) -> None:
    good.breaks_off = True
    async with running(rng, good.url) as process:
        assert await process.link.may_enter(Jti("a")) is None
        with capture_logs() as logs:
            await asyncio.sleep(0.3)
        assert len(logs) <= 1  # said once, not with every try
        assert process.link.gatekeeper is None
        good.breaks_off = False
        await until(lambda: process.link.gatekeeper)
        assert await process.link.may_enter(Jti("a")) is True


def heard(link: GatewayLink, draining: bool) -> bool:
    return link.draining is draining


async def test_a_drain_is_heard_and_so_is_its_end(good: Gateway, rng: random.Random) -> None:
    async with running(rng, good.url) as process:
        await until(lambda: good.of(REPORT))
        for draining in (True, False):
            await good.allocator.drain(WSH1, DrainOrder(30.0) if draining else None)
            process.admit("a")
            await until(partial(heard, process.link, draining))
            assert process.link.closed is draining


async def test_who_comes_to_a_drained_handler_shares_the_question_whether_it_still_is(
    good: Gateway, rng: random.Random
) -> None:
    async with running(rng, good.url) as process:
        await until(lambda: good.of(REPORT))
        process.link._report_s = 1000.0
        process.admit("a")
        await until(lambda: process.link._outbox.unconfirmed == ())
        said = len(good.of(REPORT))
        assert await process.link.wanted()  # nobody has said anything else, so nobody is asked
        assert len(good.of(REPORT)) == said
        await good.allocator.drain(WSH1, DrainOrder(30.0))
        assert await process.link.report()
        said = len(good.of(REPORT))
        assert await asyncio.gather(*(process.link.wanted() for _ in range(50))) == [False] * 50
        assert len(good.of(REPORT)) == said + 1
        await good.allocator.drain(WSH1, None)
        assert await asyncio.gather(*(process.link.wanted() for _ in range(50))) == [True] * 50
        assert len(good.of(REPORT)) == said + 2


async def test_a_drained_handler_without_a_gateway_stays_one(good: Gateway, rng: random.Random) -> None:
    async with running(rng, good.url) as process:
        await until(lambda: good.of(REPORT))
        await good.allocator.drain(WSH1, DrainOrder(30.0))
        process.admit("a")
        await until(partial(heard, process.link, True))
        good.breaks_off = True
        assert await asyncio.gather(*(process.link.wanted() for _ in range(3))) == [False] * 3


async def test_unknown_keys_make_it_ask_once_in_a_while(good: Gateway, rng: random.Random) -> None:
    async with running(rng, good.url) as process:
        await until(lambda: good.of(REPORT))
        process.link.ask_for_keys()
        await asyncio.sleep(0.1)
        assert len(good.of(REGISTER)) == 1
        process.link._introduced_at -= KEYS_AGAIN_S
        for _ in range(3):
            process.link.ask_for_keys()
        await until(lambda: len(good.of(REGISTER)) == 2)
        await asyncio.sleep(0.1)
        assert len(good.of(REGISTER)) == 2


async def test_leaving_is_reported(good: Gateway, rng: random.Random) -> None:
    async with running(rng, good.url) as process:
        await until(lambda: good.of(REPORT))
        process.link.leaving = True
        assert await process.link.report()
        assert (await good.allocator.states())[0].why_not == "leaving"
        assert process.link.closed
