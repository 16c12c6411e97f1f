import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from examples.chat.courier import Courier
from examples.chat.frames import Delivered, Frame, Kept, Kind, Reason, Undelivered
from examples.chat.mailbox import Mailbox
from examples.chat.peers import Peers
from tests.examples.chat.clients import Clock, running
from tests.examples.chat.gateways import FakeGateway, FakeMatching

HELLO = Frame(Kind.MESSAGE, "bob", "m1", "hello")


class OtherHandler:
    """Takes what is delivered for those who are `here`."""

    def __init__(self) -> None:
        self.here: set[str] = set()
        self.got: list[str] = []
        self.asked = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/deliver", self._deliver)
        return app

    async def _deliver(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.set()
        if body["to"] not in self.here:
            return web.json_response({}, status=404)
        self.got.append(body["frame"]["text"])
        return web.json_response({})


class Town:
    """A gateway, a matching service where ann and bob are a pair, the handlers WSH2 and WSH3, and the
    courier of WSH1."""

    def __init__(self) -> None:
        self.gateway = FakeGateway()
        self.matching = FakeMatching(ann="bob", bob="ann")
        self.others = {"WSH2": OtherHandler(), "WSH3": OtherHandler()}
        self.courier: Courier
        self.courier_peers: Peers
        self.gateways: list[str] = []


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    town = Town()
    apps = [town.matching.app(), town.gateway.app(), *(other.app() for other in town.others.values())]
    servers = [TestServer(app) for app in apps]
    for server in servers:
        await server.start_server()
    matching, gateway, *others = (str(server.make_url("")).rstrip("/") for server in servers)
    town.gateway.matching_urls = [matching]
    town.gateway.handlers = {id: (url, 1) for id, url in zip(town.others, others, strict=True)}
    town.gateway.handlers["WSH1"] = ("http://127.0.0.1:9", 1)
    town.gateways = [gateway]
    async with Peers([gateway], "") as peers:
        town.courier_peers, town.courier = peers, Courier("WSH1", peers)
        yield town
        await town.courier.close()
    for server in servers:
        await server.close()


async def test_a_partner_on_another_handler_gets_it(town: Town) -> None:
    town.gateway.places["bob"] = "WSH2"
    town.others["WSH2"].here.add("bob")
    assert await town.courier.deliver("ann", HELLO) == Delivered("WSH2")
    assert town.others["WSH2"].got == ["hello"]


async def test_a_partner_who_has_moved_is_found_again(town: Town) -> None:
    town.gateway.places["bob"] = "WSH2"
    town.others["WSH2"].here.add("bob")
    await town.courier.deliver("ann", HELLO)
    town.others["WSH2"].here.clear()
    town.others["WSH3"].here.add("bob")
    town.gateway.places["bob"] = "WSH3"
    assert await town.courier.deliver("ann", HELLO) == Delivered("WSH3")
    assert town.others["WSH3"].got == ["hello"]


@pytest.mark.parametrize("place", ["WSH2", "WSH1", None])
async def test_for_a_partner_who_is_nowhere_a_message_is_kept(town: Town, place: str | None) -> None:
    if place:
        town.gateway.places["bob"] = place
    assert await town.courier.deliver("ann", HELLO) == Kept(Reason.OFFLINE)
    assert [letter["text"] for letter in town.matching.kept["bob"]] == ["hello"]
    typing = Frame(Kind.TYPING, "bob")
    assert await town.courier.deliver("ann", typing) == Undelivered(Reason.OFFLINE)


async def test_a_gateway_that_has_forgotten_everybody_parts_nobody(town: Town) -> None:
    town.gateway.places["bob"] = "WSH2"
    town.others["WSH2"].here.add("bob")
    peers = Peers(town.gateways, "", clock=(clock := Clock(100)))
    async with peers:
        courier = Courier("WSH1", peers)
        await courier.deliver("ann", HELLO)
        clock.now += 1000
        del town.gateway.places["bob"]
        assert await courier.deliver("ann", HELLO) == Delivered("WSH2")
        town.others["WSH2"].here.clear()
        assert await courier.deliver("ann", HELLO) == Kept(Reason.OFFLINE)
        assert town.gateway.asked[-1] == "/handlers/locate"


async def test_nobody_writes_to_a_stranger(town: Town) -> None:
    town.gateway.places["bob"] = "WSH2"
    town.others["WSH2"].here.add("bob")
    assert await town.courier.deliver("eva", HELLO) == Undelivered(Reason.NOT_MATCHED)
    assert town.others["WSH2"].got == []


async def test_what_nobody_can_keep_is_not_sent(town: Town) -> None:
    town.matching.failing = True
    assert await town.courier.deliver("ann", HELLO) == Undelivered(Reason.UNAVAILABLE)


async def test_a_partner_here_gets_it_in_every_tab_and_the_gateway_is_not_asked(town: Town) -> None:
    async def two_tabs(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        missed = partial(town.courier_peers.missed, "bob")
        tabs = [Mailbox(socket, request.transport, missed) for _ in range(2)]
        async with (
            town.courier.at_home("bob", tabs[0]),
            town.courier.at_home("bob", tabs[1]),
            asyncio.TaskGroup() as group,
        ):
            senders = [group.create_task(tab.send_all()) for tab in tabs]
            results.append(await town.courier.deliver("ann", HELLO))
            await socket.receive()
            for sender in senders:
                sender.cancel()
        return socket

    results: list[Delivered | Kept | Undelivered] = []
    app = web.Application()
    app.router.add_get("/", two_tabs)
    async with running(app) as client, client.ws_connect("/") as socket:
        got = [await socket.receive_json() for _ in range(2)]
        await socket.close()
    assert [(frame["text"], frame["seq"]) for frame in got] == [("hello", 1)] * 2
    assert results == [Delivered("WSH1")]
    assert "/handlers/locate" not in town.gateway.asked
    assert not town.courier.deliver_here("bob", {})


async def test_somebody_between_two_handlers_is_waited_for_a_moment(town: Town) -> None:
    """The old handler has let go, and the gateway has not yet heard of the new one."""
    town.gateway.places["bob"] = "WSH2"
    async with asyncio.TaskGroup() as group:
        delivered = group.create_task(town.courier.deliver("ann", HELLO))
        await town.others["WSH2"].asked.wait()
        town.gateway.places["bob"] = "WSH3"
        town.others["WSH3"].here.add("bob")
    assert delivered.result() == Delivered("WSH3")
    assert town.others["WSH3"].got == ["hello"]


async def test_what_was_handed_to_a_connection_that_ended_goes_after_its_client(town: Town) -> None:
    socket = web.WebSocketResponse()
    mailbox = Mailbox(socket, None, partial(town.courier_peers.missed, "bob"))
    async with town.courier.at_home("bob", mailbox):
        town.courier.deliver_here("bob", {"type": "message", "seq": 4, "text": "the last"})
        town.courier.deliver_here("bob", {"type": "typing"})
    town.gateway.places["bob"] = "WSH3"
    town.others["WSH3"].here.add("bob")
    await town.courier.close()
    assert town.others["WSH3"].got == ["the last"]


async def test_a_connection_without_news_leaves_nothing_behind(town: Town) -> None:
    mailbox = Mailbox(web.WebSocketResponse(), None, partial(town.courier_peers.missed, "bob"))
    async with town.courier.at_home("bob", mailbox):
        town.courier.deliver_here("bob", {"type": "typing"})
    await town.courier.close()
    assert "/handlers/locate" not in town.gateway.asked
