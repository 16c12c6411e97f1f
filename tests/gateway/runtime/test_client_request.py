"""A request's answer on its way out: written once, or in pieces that wait for their reader."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from aiohttp import EMPTY_PAYLOAD
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.runtime import client_request
from gateway.runtime.client_request import ClientRequest
from tests.balancer.origins import until
from tests.gateway.runtime.gateways import (
    NoConnection,
    ask,
    request,
    send_text,
    serving,
    unsent_request,
    wire,
)


class Recorder(asyncio.Transport):
    """A transport that keeps what is written to it, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class Recorded(NoConnection):
    def __init__(self, transport: asyncio.Transport | None) -> None:
        self.transport = transport


def recorded(method: str = "GET", version: tuple[int, int] = (1, 1)) -> tuple[ClientRequest, Recorder]:
    transport = Recorder()
    headers: CIMultiDictProxy[str] = CIMultiDictProxy(CIMultiDict())
    return ClientRequest(Recorded(transport), method, "/", version, headers, (), EMPTY_PAYLOAD), transport


def test_a_whole_answer_is_one_write() -> None:
    raw, transport = recorded()
    raw.send(200, (("X-Name", "1"),), b"body", theirs=[(b"Content-Length", b"4")])
    (data,) = transport.writes
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert data.endswith(b"\r\n\r\nbody")
    assert data.count(b"Content-Length: 4\r\n") == 1
    assert (raw.status, raw.head_sent, raw.unfinished) == (200, True, False)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_an_answer_without_a_body_has_none_even_if_there_is_one(method: str, status: int) -> None:
    raw, transport = recorded(method)
    raw.send(status, (), b"body")
    assert transport.writes[0].endswith(b"\r\n\r\n")
    raw, transport = recorded(method)
    raw.begin(status, ())
    await raw.write(b"body")
    raw.end()
    assert len(transport.writes) == 1


@pytest.mark.parametrize(
    ("version", "theirs", "sent"),
    [
        ((1, 1), [], b"2\r\non\r\n1\r\ne\r\n0\r\n\r\n"),
        ((1, 0), [], b"one"),
        ((1, 1), [(b"content-length", b"3")], b"one"),
    ],
)
async def test_pieces_are_framed_as_the_head_said(
    version: tuple[int, int], theirs: list[tuple[bytes, bytes]], sent: bytes
) -> None:
    raw, transport = recorded(version=version)
    raw.begin(200, (), theirs=theirs)
    assert raw.unfinished
    for piece in (b"on", b"", b"e"):
        await raw.write(piece)
    raw.end()
    assert b"".join(transport.writes[1:]) == sent
    assert (raw.unfinished, transport.aborted) == (False, False)


@pytest.mark.parametrize(
    ("method", "status", "counted"), [("GET", 200, 4), ("HEAD", 200, 0), ("GET", 204, 0), ("GET", 304, 0)]
)
async def test_the_bytes_of_a_body_are_counted_as_they_go_out(method: str, status: int, counted: int) -> None:
    whole, _ = recorded(method)
    whole.send(status, (), b"body")
    pieces, _ = recorded(method)
    pieces.begin(status, ())
    for piece in (b"bo", b"", b"dy"):
        await pieces.write(piece)
    assert (whole.bytes_out, pieces.bytes_out) == (counted, counted)


@pytest.mark.parametrize("pieces", [[b"one"], [b"four", b"five"], []])
async def test_a_body_that_is_not_as_long_as_its_head_said_is_cut_off(pieces: list[bytes]) -> None:
    raw, transport = recorded()
    raw.begin(200, (), theirs=[(b"content-length", b"4")])
    try:
        for piece in pieces:
            await raw.write(piece)
        raw.end()
    except ConnectionResetError:
        pass
    assert transport.aborted
    assert len(b"".join(transport.writes[1:])) <= 4, "no byte may be taken for the next answer"


def test_a_client_that_has_gone_is_written_nothing() -> None:
    for connection in (Recorded(None), Recorded(transport := Recorder())):
        transport.aborted = True
        raw = ClientRequest(
            connection, "GET", "/", (1, 1), CIMultiDictProxy(CIMultiDict()), (), EMPTY_PAYLOAD
        )
        assert not raw.connected
        with pytest.raises(ConnectionResetError):
            raw.send(200, ())
        assert not raw.head_sent
    assert transport.writes == []


def test_a_head_that_can_not_be_written_leaves_room_for_another() -> None:
    raw, transport = recorded()
    with pytest.raises(ValueError, match="line break"):
        raw.send(200, (("X", "a\r\nb"),))
    assert (transport.writes, raw.head_sent) == ([], False)


def test_what_a_request_says_of_itself() -> None:
    raw = unsent_request("POST", "/a?b", Content_Length="12", Upgrade="WebSocket")
    assert (raw.method, raw.target, raw.content_length, raw.body_exists) == ("POST", "/a?b", 12, False)
    assert (raw.peer, raw.wants_upgrade, raw.connected) == ("127.0.0.1", "", False)
    assert "POST" in repr(raw)
    assert "/a" not in repr(raw), "a target may hold a token"


@pytest.mark.parametrize(
    ("version", "upgrade", "wanted"),
    [((1, 1), "websocket", "websocket"), ((1, 1), " WebSocket", "websocket"), ((1, 0), "websocket", "")],
)
def test_the_protocol_that_is_asked_for(version: tuple[int, int], upgrade: str, wanted: str) -> None:
    headers = CIMultiDictProxy(CIMultiDict({"Upgrade": upgrade}))
    raw = ClientRequest(NoConnection(), "GET", "/", version, headers, (), EMPTY_PAYLOAD, upgrade=True)
    assert raw.wants_upgrade == wanted


# On a wire


def on(loop: Callable[[], asyncio.AbstractEventLoop], work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(work)


on_both_loops = pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


@on_both_loops
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_cut_off_answer_never_looks_complete(
    version: str, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def work() -> None:
        async def cut(raw: ClientRequest) -> None:
            raw.begin(200, ())
            await raw.write(b"half")
            await asyncio.sleep(0)
            raw.cut_off()

        async with serving(cut) as port, wire(port) as client:
            await client.say(f"GET / HTTP/{version}\r\nHost: x\r\n\r\n")
            with pytest.raises(ConnectionResetError if version == "1.0" else (EOFError, ConnectionError)):
                await client.answer()

    on(loop, work())


@on_both_loops
def test_a_client_that_takes_nothing_stops_the_answer_and_then_loses_it(
    loop: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_request, "CLIENT_STALLED_S", 0.1)
    ended: list[tuple[str, int]] = []

    async def work() -> None:
        async def endless(raw: ClientRequest) -> None:
            raw.begin(200, ())
            written = 0
            try:
                while True:
                    await raw.write(b"x" * 10_000)
                    written += 10_000
            except TimeoutError:
                ended.append(("stalled", written))
            raw.cut_off()

        async with serving(endless) as port, wire(port) as client:
            await client.say(request("GET", "/"))
            await client.reader.readexactly(100_000)
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of both directions
            await until(lambda: ended)

    on(loop, work())
    ((why, written),) = ended
    assert why == "stalled"
    assert written < 50_000_000, "the sockets' buffers are full long before"


async def test_a_100_comes_before_the_answer_and_does_not_count_as_one() -> None:
    async def go_on(raw: ClientRequest) -> None:
        raw.continue_100()
        assert not raw.head_sent
        send_text(raw, (await raw.body.read()).decode())

    async with serving(go_on) as port, wire(port) as client:
        await client.say(request("POST", "/", "Expect: 100-continue", "Content-Length: 2"))
        assert (await client.answer()).status == 100
        await client.say("ok")
        answer = await client.answer()
        assert (answer.body, answer.all("Connection")) == (b"ok", [])


@pytest.mark.parametrize(
    ("said", "ends"),
    [
        (request("POST", "/", "Expect: 100-continue", "Content-Length: 2"), True),
        (request("POST", "/", "Expect: a-miracle", "Content-Length: 2"), True),
        (request("POST", "/", "Expect: 100-continue", "Transfer-Encoding: chunked"), True),
        (request("POST", "/", "Expect: 100-continue", body=b"ok"), False),
        (request("GET", "/", "Expect: 100-continue"), False),
    ],
)
async def test_an_answer_in_place_of_a_100_ends_the_connection_and_says_so(said: bytes, ends: bool) -> None:
    """Whether the body still comes is for the client to say, and it has no way to."""
    async with serving(no) as port, wire(port) as client:
        await client.say(said)
        answer = await client.answer()
        assert (answer.body, answer.all("Connection")) == (b"no", ["close"] if ends else [])
        await client.say("" if not ends else "ok", request("GET", "/next"))
        assert (await client.rest() == b"") if ends else (await client.answer()).body == b"no"


async def no(raw: ClientRequest) -> None:
    send_text(raw, "no")


async def test_an_answer_in_pieces_arrives_in_pieces() -> None:
    go_on = asyncio.Event()

    async def events(raw: ClientRequest) -> None:
        raw.begin(200, (("Content-Type", "text/event-stream"),))
        await raw.write(b"data: 1\n\n")
        await go_on.wait()
        await raw.write(b"data: 2\n\n")
        raw.end()

    async with serving(events) as port, wire(port) as client:
        await client.say(request("GET", "/"))
        await client.head()
        assert await client.reader.readuntil(b"1\n\n\r\n") == b"9\r\ndata: 1\n\n\r\n"
        go_on.set()
        assert await client.reader.readuntil(b"0\r\n\r\n") == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"


async def test_whoever_answers_may_end_the_connection() -> None:
    async def last(raw: ClientRequest) -> None:
        raw.keep_alive = False
        send_text(raw, "bye")

    async with serving(last) as port:
        assert (await ask(port, "GET", "/")).one("Connection") == "close"
