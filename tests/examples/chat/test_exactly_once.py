"""The chat's handlers behind a real gateway, while its clients are drained, cut off and drained again.

Whatever becomes of the connections, each message arrives once, and in the order of its writer.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from examples.chat.database import Database
from examples.chat.handler import handler_app
from examples.chat.matching import matching_app
from handlers.runtime.client import HandlerClient, State, Status, client_session
from handlers.runtime.client_socket import ClientSocket
from handlers.runtime.node import HandlerNode
from registry.runtime.tasks import Tasks
from tests.examples.chat.clients import KEY, SECRET
from tests.examples.chat.people import open_town
from tests.gateway.runtime.gateways import gateway, token
from tests.handlers.runtime.gateways import until
from tests.servers import free_ports

EVERY_S = 0.11
"""Between two messages of one writer: the handlers take ten a second."""


class Writer:
    """A chat client that sends again what was never acknowledged, as the page does."""

    def __init__(self, uid: str, partner: str, url: str, session: ClientSession) -> None:
        self.partner = partner
        self.unacknowledged: dict[str, dict[str, Any]] = {}
        self.wrote: list[str] = []
        self.got: list[str] = []
        self.losses = 0
        self._again = asyncio.Event()
        self._arrived = False
        self._behind = False
        self.client = HandlerClient(
            url, uid=uid, token=token(uid), session=session, on_status=self._on_status
        )

    def _on_status(self, status: Status) -> None:
        if status.state is State.CONNECTED:
            self._arrived = True
            self._again.set()
        elif status.state is State.WAITING:
            self.losses += 1

    async def write(self, text: str) -> None:
        self.wrote.append(text)
        frame = {"type": "message", "to": self.partner, "id": text, "text": text}
        self.unacknowledged[text] = frame
        if not self._behind and not self._again.is_set():  # else it goes after those before it
            await self.client.send(frame)

    async def listen(self) -> None:
        async for message in self.client:
            assert isinstance(message, dict)
            match message["type"]:
                case "message":
                    self.got.append(message["text"])
                case "delivered":
                    self.unacknowledged.pop(message["id"], None)
                case "hello":
                    self._again.set()
                case "kept":
                    pass  # until the partner says hello
                case other:
                    raise AssertionError(f"{other}: {message}")

    async def send_again(self) -> None:
        """All that is left, in order, before anything new is sent."""
        while True:
            await self._again.wait()
            self._behind = True
            while self._again.is_set():
                self._again.clear()
                if self._arrived:
                    self._arrived = False
                    await self.client.send({"type": "hello", "to": self.partner})
                sent: set[str] = set()
                while left := [id for id in self.unacknowledged if id not in sent]:
                    await self.client.send(self.unacknowledged[left[0]])
                    sent.add(left[0])
            self._behind = False


def cut_off(socket: ClientSocket) -> None:
    assert socket._req is not None
    assert socket._req.transport is not None
    socket._req.transport.abort()


class Town:
    def __init__(self, url: str, session: ClientSession, nodes: dict[str, HandlerNode]) -> None:
        self.url, self.session, self.nodes = url, session, nodes

    async def drain(self, handler: str) -> None:
        """Drains it until nobody is there, and takes it back into use."""
        at = f"{self.url}/admin/handlers/{handler}/drain"
        async with self.session.post(at, json={"deadline_s": 5}) as answer:
            assert answer.status == 200, await answer.text()
        await until(lambda: not self.nodes[handler].sessions, 10)
        async with self.session.delete(at) as answer:
            assert answer.status == 200, await answer.text()
        await until(lambda: self.nodes[handler].ready)

    def cut(self, handler: str) -> None:
        """Ends the connections of its clients as a broken network does."""
        for session in self.nodes[handler].sessions:
            cut_off(session.socket)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    open_town(tmp_path / "chat.db").close()
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(client_session())
        matching = TestServer(matching_app(Database(tmp_path / "chat.db"), SECRET, KEY))
        await stack.enter_async_context(matching)
        running = await stack.enter_async_context(
            gateway(
                services={"matching": {"instances": [str(matching.make_url("")).rstrip("/")]}},
                registry={"backend": "embedded", "address": "127.0.0.1:0", "register_as": None},
                handlers={},
            )
        )
        url = f"http://127.0.0.1:{running.port}"
        nodes = {}
        for name, port in zip(("WSH1", "WSH2", "WSH3"), free_ports(3), strict=True):
            nodes[name] = HandlerNode(
                handler_id=name,
                gateways=[url],
                public_url=f"http://127.0.0.1:{port}",
                capacity=10,
                consul=None,
                leave_s=0.01,
                drain_s=0.1,
            )
            await stack.enter_async_context(TestServer(handler_app(nodes[name], [url], KEY), port=port))
        await until(lambda: all(node.ready for node in nodes.values()))
        yield Town(url, session, nodes)


@asynccontextmanager
async def writers(town: Town) -> AsyncIterator[tuple[Writer, Writer]]:
    failed: list[BaseException] = []
    pair = (
        Writer("ann", "bob", town.url, town.session),
        Writer("bob", "ann", town.url, town.session),
    )
    tasks = Tasks(lambda _name, error: failed.append(error))
    async with pair[0].client, pair[1].client:
        for writer in pair:
            await writer.client.connected()
            tasks.start("listen", writer.listen())
            tasks.start("send again", writer.send_again())
        try:
            yield pair
        finally:
            await tasks.close()
    assert not failed


async def talk(pair: tuple[Writer, Writer], done: asyncio.Event) -> None:
    number = 0
    while not done.is_set():
        number += 1
        for writer in pair:
            await writer.write(f"{writer.client.uid} {number}")
        await asyncio.sleep(EVERY_S)


def is_connected(writer: Writer, *, after: int = -1) -> bool:
    """Whether it has a handler, after more than so many losses."""
    return writer.client.losses > after and bool(writer.client.handler)


def all_has_come(writer: Writer, reader: Writer) -> bool:
    return not writer.unacknowledged and len(reader.got) >= len(writer.wrote)


@pytest.mark.parametrize("fault", ["drain", "cut"])
async def test_each_message_arrives_once_and_in_order(town: Town, fault: str) -> None:
    done = asyncio.Event()
    async with writers(town) as pair, asyncio.TaskGroup() as group:
        group.create_task(talk(pair, done))
        for writer in (*pair, *pair):
            await until(partial(is_connected, writer), 10)
            handler = str(writer.client.handler)
            if fault == "cut":
                losses = writer.client.losses
                town.cut(handler)
                await until(partial(is_connected, writer, after=losses), 10)
            else:
                await town.drain(handler)
        done.set()
        for writer, other in (pair, pair[::-1]):
            await until(partial(all_has_come, writer, other), 20)
            assert other.got == writer.wrote
            assert len(writer.wrote) > 5
            assert (writer.losses > 0) is (fault == "cut")
            assert (writer.client.moves > 0) is (fault == "drain")
