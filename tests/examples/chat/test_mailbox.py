import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from examples.chat import mailbox as module
from examples.chat.frames import Letter, Missed
from examples.chat.mailbox import LONGEST_QUEUE, Mailbox
from tests.examples.chat.clients import running

Frame = dict[str, Any]


class Archive:
    """The kept messages, of which somebody may have `forgotten` to say anything at the moment."""

    def __init__(self, *seqs: int) -> None:
        self.letters = [letter(seq) for seq in seqs]
        self.forgotten = False
        self.asked: list[int] = []

    async def missed(self, after: int) -> Missed | None:
        self.asked.append(after)
        if self.forgotten:
            return None
        found = [letter for letter in self.letters if letter.seq > after]
        if len(found) > 2:
            return Missed(tuple(found[:2]), found[1].seq, more=True)
        return Missed(tuple(found), max([letter.seq for letter in self.letters], default=0))


def letter(seq: int) -> Letter:
    return Letter(seq, "ann", f"m{seq}", "hi")


def news(seq: int) -> Frame:
    return {**letter(seq).frame(), "handler": "WSH1"}


@asynccontextmanager
async def post(
    archive: Archive, seq: int = 0
) -> AsyncIterator[tuple[Mailbox, Callable[[int], Any], aiohttp.ClientWebSocketResponse]]:
    """A mailbox that sends to a real client, and what reads there."""
    made: asyncio.Future[Mailbox] = asyncio.get_running_loop().create_future()

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        mailbox = Mailbox(socket, request.transport, archive.missed, seq)
        async with asyncio.TaskGroup() as group:
            sender = group.create_task(mailbox.send_all())
            made.set_result(mailbox)
            await socket.receive()
            sender.cancel()
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    async with running(app) as client, client.ws_connect("/") as socket:

        async def read(count: int) -> list[int | str]:
            frames = [await socket.receive_json(timeout=5) for _ in range(count)]
            return [frame.get("seq", frame["type"]) for frame in frames]

        yield await made, read, socket
        await socket.close()


async def test_what_was_missed_comes_first_and_then_what_is_new() -> None:
    async with post(Archive(1, 2, 3, 4, 5), seq=2) as (mailbox, read, _):
        mailbox.put({"type": "typing"})
        mailbox.put(news(6))
        assert await read(5) == [3, 4, 5, "typing", 6]


async def test_a_number_that_was_sent_is_not_sent_again() -> None:
    async with post(Archive(1)) as (mailbox, read, _):
        for seq in (1, 2, 2, 1, 3):
            mailbox.put(news(seq))
        mailbox.put({"type": "typing"})
        assert await read(4) == [1, 2, 3, "typing"]


async def test_a_gap_is_filled_from_what_is_kept() -> None:
    archive = Archive()
    async with post(archive) as (mailbox, read, _):
        mailbox.put(news(1))
        assert await read(1) == [1]
        archive.letters = [letter(seq) for seq in (1, 2, 3, 4)]
        mailbox.put(news(4))
        assert await read(3) == [2, 3, 4]
    assert archive.asked == [0, 1, 3]


async def test_numbers_whose_letters_are_gone_are_stepped_over() -> None:
    archive = Archive(7)
    async with post(archive) as (mailbox, read, _):
        mailbox.put(news(8))
        assert await read(2) == [7, 8]


async def test_while_nobody_can_say_what_was_missed_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ASK_AGAIN_S", 0.01)
    archive = Archive(1, 2)
    archive.forgotten = True
    async with post(archive) as (mailbox, read, _):
        mailbox.put({"type": "typing"})
        mailbox.put(news(2))
        assert await read(1) == ["typing"]
        archive.forgotten = False
        assert await read(2) == [1, 2]


async def test_the_newest_number_is_known_in_case_it_never_arrived() -> None:
    async with post(Archive()) as (mailbox, read, _):
        assert mailbox.newest is None
        mailbox.put(news(1))
        mailbox.put({"type": "typing"})
        await read(2)
        assert mailbox.newest == news(1)


async def test_a_client_that_reads_nothing_is_cut_off_and_nobody_waits_for_it() -> None:
    """The mailbox takes so many frames and no more; the connection ends, and memory stays bounded."""
    ended = asyncio.Event()
    taken = []

    async def flooded(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        mailbox = Mailbox(socket, request.transport, Archive().missed)
        while mailbox.put({"text": "x" * 1000}):
            taken.append(1)
        try:
            await socket.receive()
        finally:
            ended.set()
        return socket

    app = web.Application()
    app.router.add_get("/", flooded)
    async with running(app) as client, client.ws_connect("/"):
        async with asyncio.timeout(5):
            await ended.wait()
    assert len(taken) == LONGEST_QUEUE
