import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from handlers.client import Answer
from handlers.client_messages import Destination
from handlers.runtime.client_wire import BROKEN, MAX_ANSWER, Link, ask, client_session, connect
from tests.handlers.runtime.piers import Pier, harbourmaster
from tests.servers import free_ports


async def test_a_link_reads_objects_texts_and_bytes_and_the_close_code() -> None:
    async def speak(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for text in ('{"a": 1}', "[1]", "{half", "{}", "plain"):
            await socket.send_str(text)
        await socket.send_bytes(b"\x00")
        await socket.close(code=4007)
        return socket

    app = web.Application()
    app.router.add_get("/ws", speak)
    async with TestServer(app) as server, client_session() as session:
        link = await connect(session, Destination("WSH1", str(server.make_url("/ws")), None, None), None, 5)
        assert isinstance(link, Link)
        read = [await link.receive() for _ in range(6)]
        assert read == [
            ({"a": 1}, {"a": 1}), ("[1]", {}), ("{half", {}), ("{}", {}), ("plain", {}), (b"\x00", {}),
        ]  # fmt: skip
        assert await link.receive() == 4007
        assert await link.send("too late") is False
        await link.close()


async def test_a_ticket_and_the_last_number_go_with_the_handshake() -> None:
    async with harbourmaster(1) as master, client_session() as session:
        pier = master.piers["WSH1"]
        link = await connect(session, place(pier), 41, 5)
        assert isinstance(link, Link)
        assert pier.came_with == [("wst.v1,wst.t", "41")]
        await link.close()


def place(pier: Pier, ticket: str | None = "t") -> Destination:
    return Destination(pier.name, f"ws{pier.url[4:]}/ws", ticket, None)


@pytest.mark.parametrize("code", [4401, 4429, 1013])
async def test_a_refusal_is_its_close_code(code: int) -> None:
    async with harbourmaster(1) as master, client_session() as session:
        pier = master.piers["WSH1"]
        pier.refuses = code
        assert await connect(session, place(pier), None, 5) == code


async def test_a_handler_that_never_welcomes_is_given_up() -> None:
    async with harbourmaster(1) as master, client_session() as session:
        pier = master.piers["WSH1"]
        pier.never_welcomes = True
        assert await connect(session, place(pier), None, 0.05) == BROKEN


async def test_a_handler_without_tickets_welcomes_nobody_and_is_there() -> None:
    async with harbourmaster(1) as master, client_session() as session:
        pier = master.piers["WSH1"]
        pier.never_welcomes = True
        link = await connect(session, place(pier, ticket=None), None, 5)
        assert isinstance(link, Link)
        await link.close()


@pytest.mark.parametrize(
    "url", ["ws://127.0.0.1:{port}/ws", "ws://nowhere.invalid/ws", "ws://127.0.0.1:99999/"]
)
async def test_a_handler_that_is_not_there_is_a_broken_connection(url: str) -> None:
    to = Destination("WSH1", url.format(port=free_ports(1)[0]), "t", None)
    async with client_session() as session:
        assert await connect(session, to, None, 5) == BROKEN


async def test_a_process_that_is_killed_says_no_code() -> None:
    async with harbourmaster(1) as master, client_session() as session:
        pier = master.piers["WSH1"]
        link = await connect(session, place(pier), None, 5)
        assert isinstance(link, Link)
        pier.die()
        assert await link.receive() == BROKEN


@pytest.mark.parametrize("body", [b"{", b"[1]", b"x" * (MAX_ANSWER + 1)])
async def test_an_answer_that_is_no_object_says_nothing(body: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Retry-After": "3"})

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app) as server, client_session() as session:
        told = await ask(session, str(server.make_url("/")), {}, {})
    assert told == (Answer(200, {}, "3") if body == b"[1]" else Answer(0))


async def test_a_gateway_that_is_away_says_nothing() -> None:
    async with client_session() as session:
        assert await ask(session, f"http://127.0.0.1:{free_ports(1)[0]}/", {}, {}) == Answer(0)


async def test_a_session_calls_from_the_address_it_is_given() -> None:
    seen = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.remote)
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app) as server, client_session("127.0.0.7") as session:
        await ask(session, str(server.make_url("/")), {}, {})
    assert seen == ["127.0.0.7"]
