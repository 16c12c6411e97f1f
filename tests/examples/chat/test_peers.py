from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from examples.chat.frames import Delivered, Frame, Kind, Letter, Missed, NotHere, Reason, Undelivered
from examples.chat.peers import LARGEST_ANSWER, Peers, Place
from tests.examples.chat.clients import KEY, Clock
from tests.examples.chat.gateways import FakeGateway, FakeMatching
from tests.handlers.runtime.gateways import in_two_pieces
from tests.servers import free_ports

FRAME = {"type": "message", "from": "ann", "text": "hi", "id": "m1", "handler": "WSH1"}


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
def gateway() -> FakeGateway:
    gateway = FakeGateway(KEY)
    gateway.handlers["WSH2"] = ("http://127.0.0.1:8002", 1)
    gateway.places["bob"] = "WSH2"
    return gateway


@pytest.fixture
async def gateway_url(gateway: FakeGateway) -> AsyncIterator[str]:
    async with serving(gateway.app()) as url:
        yield url


@pytest.fixture
async def peers(gateway_url: str) -> AsyncIterator[Peers]:
    async with Peers([gateway_url], KEY) as peers:
        yield peers


def dead_url() -> str:
    """An address where nobody listens."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"


async def test_a_place_is_asked_for_once_in_a_while(gateway: FakeGateway, gateway_url: str) -> None:
    clock = Clock(100)
    async with Peers([gateway_url], KEY, clock=clock) as peers:
        for _ in range(3):
            assert await peers.locate("bob") == Place("WSH2", "http://127.0.0.1:8002")
        assert len(gateway.asked) == 1
        clock.now += 10
        await peers.locate("bob")
        assert len(gateway.asked) == 2
        peers.forget_place("bob")
        await peers.locate("bob")
        assert len(gateway.asked) == 3


async def test_somebody_who_is_nowhere_is_offline_and_that_is_not_remembered(
    gateway: FakeGateway, peers: Peers
) -> None:
    assert await peers.locate("eva") == Undelivered(Reason.OFFLINE)
    gateway.places["eva"] = "WSH2"
    assert isinstance(await peers.locate("eva"), Place)


async def test_handlers_may_reach_each_other_elsewhere_than_clients_do(gateway_url: str) -> None:
    async with Peers([gateway_url], KEY, peer_url="http://{handler_id}.internal:8001") as peers:
        assert await peers.locate("bob") == Place("WSH2", "http://WSH2.internal:8001")


async def test_another_gateway_is_asked_when_one_fails(gateway: FakeGateway, gateway_url: str) -> None:
    async with Peers([dead_url(), gateway_url], KEY) as peers:
        assert isinstance(await peers.locate("bob"), Place)


@pytest.mark.parametrize("fault", ["failing", "wrong_key"])
async def test_no_answer_is_not_taken_for_offline(gateway: FakeGateway, peers: Peers, fault: str) -> None:
    if fault == "failing":
        gateway.failing = True
    else:
        gateway.key = "another key"
    assert await peers.locate("bob") == Undelivered(Reason.UNAVAILABLE)
    assert await peers.matched("ann", "bob") is None


async def test_a_match_is_remembered_for_a_moment_and_a_no_is_not(
    gateway: FakeGateway, gateway_url: str
) -> None:
    matching, clock = FakeMatching(), Clock(100)
    async with serving(matching.app()) as url, Peers([gateway_url], KEY, clock=clock) as peers:
        gateway.matching_urls = [url]
        assert await peers.matched("ann", "bob") is False
        matching.partners["ann"] = "bob"
        assert [await peers.matched("ann", "bob") for _ in range(3)] == [True] * 3
        assert matching.asked == 2
        del matching.partners["ann"]
        clock.now += 2
        assert await peers.matched("ann", "bob") is False


LETTER = Frame(Kind.MESSAGE, "bob", "m1", "hi")


async def test_a_message_is_kept_once_for_those_who_are_matched(gateway: FakeGateway, peers: Peers) -> None:
    async with serving(FakeMatching(ann="bob").app()) as url:
        gateway.matching_urls = [dead_url(), url]
        assert [await peers.keep("ann", LETTER) for _ in range(2)] == [1, 1]
        assert await peers.keep("eva", LETTER) == Undelivered(Reason.NOT_MATCHED)


async def test_what_was_missed_comes_page_by_page(gateway: FakeGateway, peers: Peers) -> None:
    matching = FakeMatching(ann="bob")
    for number in range(3):
        matching.keep("bob", **{"from": "ann", "id": f"m{number}", "text": "hi"})
    async with serving(matching.app()) as url:
        gateway.matching_urls = [url]
        letters = [Letter(number + 1, "ann", f"m{number}", "hi") for number in range(3)]
        assert await peers.missed("bob", 0) == Missed(tuple(letters[:2]), 2, more=True)
        assert await peers.missed("bob", 2) == Missed((letters[2],), 3)


async def test_while_matching_is_away_nothing_is_kept_and_nobody_can_say(
    gateway: FakeGateway, peers: Peers
) -> None:
    matching = FakeMatching(ann="bob")
    matching.failing = True
    async with serving(matching.app()) as url:
        gateway.matching_urls = [url]
        assert await peers.keep("ann", LETTER) == Undelivered(Reason.UNAVAILABLE)
        assert await peers.missed("bob", 0) is None


@pytest.mark.parametrize("body", [{}, {"messages": [{}], "last": 1, "more": False}, {"messages": None}])
async def test_an_answer_of_matching_that_makes_no_sense_says_nothing(
    gateway: FakeGateway, peers: Peers, body: dict[str, object]
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body)

    app = web.Application()
    app.router.add_get("/messages", answer)
    async with serving(app) as url:
        gateway.matching_urls = [url]
        assert await peers.missed("bob", 0) is None


async def test_those_who_talk_do_not_notice_that_nobody_can_be_asked(
    gateway: FakeGateway, gateway_url: str
) -> None:
    clock = Clock(100)
    async with Peers([gateway_url], KEY, clock=clock) as peers:
        async with serving(FakeMatching(ann="bob").app()) as url:
            gateway.matching_urls = [url]
            assert await peers.matched("ann", "bob") is True
            place = await peers.locate("bob")
            gateway.failing = True
            clock.now += 1000
            assert await peers.matched("ann", "bob") is True
            assert await peers.matched("ann", "eva") is False
            assert await peers.locate("bob") == place
        clock.now += 1000
        assert await peers.matched("ann", "bob") is True
        assert await peers.matched("ann", "eva") is None


async def test_another_matching_instance_is_asked_when_one_is_gone(
    gateway: FakeGateway, peers: Peers
) -> None:
    async with serving(FakeMatching(ann="bob").app()) as url:
        gateway.matching_urls = [dead_url(), url]
        assert await peers.matched("ann", "bob") is True
        assert gateway.asked == ["/get_service_instance"] * 2


async def test_nobody_is_matched_when_no_matching_instance_answers(
    gateway: FakeGateway, peers: Peers
) -> None:
    gateway.matching_urls = [dead_url()]
    assert await peers.matched("ann", "bob") is None


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, Delivered("WSH2")),
        (404, NotHere()),
        (403, Undelivered(Reason.HANDLER_UNREACHABLE)),
        (500, Undelivered(Reason.HANDLER_UNREACHABLE)),
    ],
)
async def test_what_the_other_handler_says(peers: Peers, status: int, result: object) -> None:
    got = []

    async def deliver(request: web.Request) -> web.Response:
        got.append((request.headers["X-Internal-Key"], await request.json()))
        return web.json_response({}, status=status)

    app = web.Application()
    app.router.add_post("/deliver", deliver)
    async with serving(app) as url:
        assert await peers.hand_over(Place("WSH2", url), "bob", FRAME) == result
    assert got == [(KEY, {"to": "bob", "frame": FRAME})]


async def test_an_answer_may_come_in_pieces() -> None:
    async def locates(request: web.Request) -> web.StreamResponse:
        return await in_two_pieces(request, web.json_response({"handler_id": "WSH2", "url": "http://h:1"}))

    app = web.Application()
    app.router.add_get("/handlers/locate", locates)
    async with serving(app) as url, Peers([url], KEY) as peers:
        assert await peers.locate("bob") == Place("WSH2", "http://h:1")


async def test_an_endless_answer_is_none(peers: Peers) -> None:
    async def says_more_than_it_should(_: web.Request) -> web.Response:
        return web.Response(body=b"{}" + b" " * LARGEST_ANSWER)

    app = web.Application()
    app.router.add_post("/deliver", says_more_than_it_should)
    async with serving(app) as url:
        result = await peers.hand_over(Place("WSH2", url), "bob", FRAME)
    assert result == Undelivered(Reason.HANDLER_UNREACHABLE)


async def test_a_handler_that_is_gone_certainly_got_nothing(peers: Peers) -> None:
    assert await peers.hand_over(Place("WSH2", dead_url()), "bob", FRAME) == NotHere()


async def test_a_handler_that_dies_before_its_answer_may_have_got_it(peers: Peers) -> None:
    async def dies_after_reading(request: web.Request) -> web.Response:
        await request.read()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    app = web.Application()
    app.router.add_post("/deliver", dies_after_reading)
    async with serving(app) as url:
        result = await peers.hand_over(Place("WSH2", url), "bob", FRAME)
    assert result == Undelivered(Reason.HANDLER_UNREACHABLE)
