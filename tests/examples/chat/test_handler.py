import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from examples.chat import handler
from examples.chat.frames import LARGEST_FRAME
from examples.chat.handler import handler_app
from handlers.runtime.node import HandlerNode
from tests.examples.chat.clients import KEY
from tests.examples.chat.gateways import FakeGateway, FakeMatching
from tests.servers import free_ports

Socket = aiohttp.ClientWebSocketResponse


class Chat:
    """Handlers WSH1 and WSH2, a gateway, and a matching service where ann and bob are a pair."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.gateway = FakeGateway(KEY)
        self.matching = FakeMatching(ann="bob", bob="ann")
        self.nodes: dict[str, HandlerNode] = {}

    def url(self, handler: str) -> str:
        return self.gateway.handlers[handler][0]

    @asynccontextmanager
    async def connected(self, uid: str, handler: str, seq: int | None = None) -> AsyncIterator[Socket]:
        """A client that has been welcomed, and that the gateway knows of."""
        protocols = ("wst.v1", f"wst.{self.gateway.ticket(uid, handler)}")
        query = "" if seq is None else f"?seq={seq}"
        async with self.session.ws_connect(f"{self.url(handler)}/ws{query}", protocols=protocols) as socket:
            welcome = await socket.receive_json()
            assert (welcome["type"], welcome["handler_id"]) == ("welcome", handler)
            await until(lambda: self.gateway.places.get(uid) == handler)
            yield socket


async def until(condition: Any) -> None:
    """Returns once `condition()` holds; fails after five seconds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what it waits for has no event to tell of it
            await asyncio.sleep(0.01)


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    async with AsyncExitStack() as stack:
        chat = Chat(await stack.enter_async_context(aiohttp.ClientSession()))
        matching = await stack.enter_async_context(TestServer(chat.matching.app()))
        gateway = await stack.enter_async_context(TestServer(chat.gateway.app()))
        chat.gateway.matching_urls = [str(matching.make_url("")).rstrip("/")]
        gateways = [str(gateway.make_url("")).rstrip("/")]
        for handler, port in zip(("WSH1", "WSH2"), free_ports(2), strict=True):
            node = HandlerNode(
                handler_id=handler,
                gateways=gateways,
                public_url=f"http://127.0.0.1:{port}",
                capacity=10,
                internal_key=KEY,
                consul=None,
                max_msg_size=LARGEST_FRAME,
                leave_s=0.01,
            )
            await stack.enter_async_context(TestServer(handler_app(node, gateways, KEY), port=port))
            chat.nodes[handler] = node
        await until(lambda: all(node.ready for node in chat.nodes.values()))
        yield chat


def message(to: str, text: str, id: str = "m1") -> dict[str, str]:
    return {"type": "message", "to": to, "text": text, "id": id}


async def receive(socket: Socket) -> Any:
    return await socket.receive_json(timeout=5)


@pytest.mark.parametrize("bobs", ["WSH1", "WSH2"])
async def test_two_users_talk_whatever_handlers_they_sit_on(chat: Chat, bobs: str) -> None:
    async with chat.connected("ann", "WSH1") as ann, chat.connected("bob", bobs) as bob:
        await ann.send_json(message("bob", "hi <i>bob</i>"))
        got = await receive(bob)
        got.pop("handler", None)  # not told of what was written before bob's first question for it
        assert got == {"type": "message", "from": "ann", "id": "m1", "text": "hi <i>bob</i>", "seq": 1}
        assert await receive(ann) == {"type": "delivered", "id": "m1", "handler": bobs}
        await bob.send_json(message("ann", "hello ann", "m2"))
        assert (await receive(ann))["text"] == "hello ann"
        assert await receive(bob) == {"type": "delivered", "id": "m2", "handler": "WSH1"}


async def test_messages_keep_their_order(chat: Chat) -> None:
    async with chat.connected("ann", "WSH1") as ann, chat.connected("bob", "WSH2") as bob:
        for number in range(20):
            await ann.send_json(message("bob", str(number), f"m{number}"))
        assert [(await receive(bob))["text"] for _ in range(20)] == [str(n) for n in range(20)]
        assert [(await receive(ann))["id"] for _ in range(20)] == [f"m{n}" for n in range(20)]


async def test_signals_arrive_without_being_answered(chat: Chat) -> None:
    async with chat.connected("ann", "WSH1") as ann, chat.connected("bob", "WSH2") as bob:
        await ann.send_json({"type": "typing", "to": "bob"})
        await ann.send_json({"type": "hello", "to": "bob", "id": "h1"})
        assert (await receive(bob))["type"] == "typing"
        assert (await receive(bob))["type"] == "hello"
        assert await receive(ann) == {"type": "delivered", "id": "h1", "handler": "WSH2"}


async def test_a_partner_who_has_reconnected_elsewhere_is_found(chat: Chat) -> None:
    async with chat.connected("ann", "WSH1") as ann:
        async with chat.connected("bob", "WSH2") as bob:
            await ann.send_json(message("bob", "one"))
            await receive(bob)
            assert (await receive(ann))["handler"] == "WSH2"
        async with chat.connected("bob", "WSH1", seq=1) as bob:
            await ann.send_json(message("bob", "two", "m2"))
            assert (await receive(bob))["text"] == "two"
            assert (await receive(ann))["handler"] == "WSH1"


@pytest.mark.parametrize(
    ("sender", "to", "reason"),
    [("ann", "eva", "not_matched"), ("eva", "ann", "not_matched")],
)
async def test_the_sender_learns_why_nothing_was_delivered(
    chat: Chat, sender: str, to: str, reason: str
) -> None:
    async with chat.connected(sender, "WSH1") as socket:
        await socket.send_json(message(to, "hi"))
        assert await receive(socket) == {"type": "undelivered", "id": "m1", "reason": reason}


async def test_what_is_written_to_somebody_who_is_away_waits_for_them(chat: Chat) -> None:
    async with chat.connected("ann", "WSH1") as ann:
        for number in range(5):
            await ann.send_json(message("bob", str(number), f"m{number}"))
            assert await receive(ann) == {"type": "kept", "id": f"m{number}", "reason": "offline"}
        async with chat.connected("bob", "WSH2", seq=2) as bob:
            assert [(await receive(bob))["seq"] for _ in range(3)] == [3, 4, 5]
            await ann.send_json(message("bob", "4", "m4"))
            assert (await receive(ann))["type"] == "delivered"
            await ann.send_json(message("bob", "new", "m5"))
            assert (await receive(bob))["seq"] == 6


async def test_who_moves_gets_what_came_to_the_old_handler_too_late(chat: Chat) -> None:
    """It was handed to the old connection, whose client had closed it by then."""
    async with (
        chat.connected("ann", "WSH1") as ann,
        chat.connected("bob", "WSH1") as old,
        chat.connected("bob", "WSH2") as new,
    ):
        await ann.send_json(message("bob", "hi"))
        assert (await receive(old))["seq"] == 1
        assert (await receive(ann))["handler"] == "WSH1"
        await old.close()
        assert (await receive(new))["seq"] == 1


async def test_a_lost_gateway_is_told_and_the_connection_stays(chat: Chat) -> None:
    async with chat.connected("ann", "WSH1") as ann, chat.connected("bob", "WSH2"):
        chat.gateway.failing = True
        await ann.send_json(message("bob", "hi"))
        assert (await receive(ann))["reason"] == "unavailable"
        chat.gateway.failing = False
        await ann.send_json(message("bob", "hi", "m2"))
        assert await receive(ann) == {"type": "delivered", "id": "m2", "handler": "WSH2"}


@pytest.mark.parametrize("frame", ["{", "[]", '{"type": "message"}', b"\x00binary"])
async def test_a_bad_frame_is_answered_and_the_connection_stays(chat: Chat, frame: str | bytes) -> None:
    async with chat.connected("ann", "WSH1") as ann:
        await (ann.send_bytes(frame) if isinstance(frame, bytes) else ann.send_str(frame))
        assert (await receive(ann))["reason"] == "bad_frame"
        await ann.send_json(message("bob", "hi"))
        assert (await receive(ann))["type"] == "kept"


async def test_a_frame_too_large_ends_the_connection(chat: Chat) -> None:
    async with chat.connected("ann", "WSH1") as ann:
        await ann.send_str("x" * (LARGEST_FRAME + 1))
        assert (await ann.receive(timeout=5)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        assert ann.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_a_flood_is_read_slowly_and_nobody_else_notices(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "BURST", 3)
    monkeypatch.setattr(handler, "FRAMES_PER_S", 1.0)
    async with chat.connected("ann", "WSH1") as ann, chat.connected("bob", "WSH2") as bob:
        for number in range(5):
            await ann.send_json(message("bob", str(number), f"m{number}"))
        await bob.send_json(message("ann", "calm down"))
        assert [frame["text"] for frame in await frames(ann, "message", 1)] == ["calm down"]
        assert len(chat.matching.kept["bob"]) <= 3
        texts = [frame["text"] for frame in await frames(bob, "message", 5)]
        assert texts == [str(number) for number in range(5)]


async def frames(socket: Socket, kind: str, count: int) -> list[Any]:
    """The next so many frames of a kind."""
    found: list[Any] = []
    while len(found) < count:
        frame = await receive(socket)
        found += [frame] if frame["type"] == kind else []
    return found


async def test_without_a_ticket_nobody_gets_in(chat: Chat) -> None:
    protocols = ("wst.v1", "wst.forged")
    async with chat.session.ws_connect(f"{chat.url('WSH1')}/ws", protocols=protocols) as socket:
        closed = await socket.receive(timeout=5)
        assert closed.type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4400


FRAME = {"type": "message", "from": "bob", "text": "hi", "id": "m1", "handler": "WSH2"}


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, {"to": "ann", "frame": FRAME}, 403),
        ({"X-Internal-Key": "wrong"}, {"to": "ann", "frame": FRAME}, 403),
        ({"X-Internal-Key": KEY}, {"to": "ann", "frame": FRAME}, 200),
        ({"X-Internal-Key": KEY}, {"to": "nobody", "frame": FRAME}, 404),
        ({"X-Internal-Key": KEY}, {"frame": FRAME}, 400),
        ({"X-Internal-Key": KEY}, {"to": "ann", "frame": "hi"}, 400),
        ({"X-Internal-Key": KEY}, {"to": "ann", "frame": {"type": "welcome"}}, 400),
        ({"X-Internal-Key": KEY, "Content-Type": "text/plain"}, {"to": "ann", "frame": FRAME}, 415),
    ],
)
async def test_only_other_handlers_may_deliver(
    chat: Chat, headers: dict[str, str], body: object, status: int
) -> None:
    async with (
        chat.connected("ann", "WSH1") as ann,
        chat.session.post(f"{chat.url('WSH1')}/deliver", json=body, headers=headers) as answer,
    ):
        assert answer.status == status
        if status == 200:
            assert await receive(ann) == FRAME


async def test_health_follows_the_node(chat: Chat) -> None:
    async with chat.connected("ann", "WSH1"), chat.session.get(f"{chat.url('WSH1')}/health") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ok", "connections": 1})


async def test_a_handler_that_no_gateway_knows_is_not_ready() -> None:
    (port,) = free_ports(1)
    nowhere = [f"http://127.0.0.1:{free_ports(1)[0]}"]
    node = HandlerNode(
        handler_id="WSH9", gateways=nowhere, public_url=f"http://127.0.0.1:{port}", capacity=1, consul=None
    )
    async with (
        TestServer(handler_app(node, nowhere), port=port) as server,
        aiohttp.ClientSession() as session,
        session.get(server.make_url("/health")) as answer,
    ):
        assert answer.status == 503
