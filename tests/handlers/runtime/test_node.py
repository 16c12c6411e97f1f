"""The life of a handler process: registered, reporting, and gone without a herd."""

import asyncio
import logging
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web
from aiohttp.test_utils import TestServer

from handlers.address import BadAddress
from handlers.closing import Refusal
from handlers.heard import Noted
from handlers.model import HandlerId, Hello, Jti, PoolSettings, Uid
from handlers.runtime.node import HandlerNode, Session
from handlers.ticket import Purpose, TicketClaims, TicketSecrets, sign
from tests.handlers.runtime.clients import Harbour, first, harbour
from tests.handlers.runtime.gateways import SECRET, Gateway, forgets_handlers, gateway, until
from tests.servers import ROOT, ConsulAgent, free_ports

WSH1 = HandlerId("WSH1")
REPORT = "/handlers/report"
TICKET = "a ticket that must not be logged"


@pytest.fixture
async def good() -> AsyncIterator[Gateway]:
    async with gateway(PoolSettings(capacity=100, seats_per_user=100)) as made:
        yield made


@pytest.fixture
async def quay(good: Gateway) -> AsyncIterator[Harbour]:
    async with harbour(good) as made:
        yield made


def reported(made: Gateway) -> int:
    return int(made.of(REPORT)[-1]["connections"])


async def test_a_client_comes_talks_and_goes_and_the_gateway_knows(good: Gateway, quay: Harbour) -> None:
    async with await quay.connect(await good.ticket("ann")) as socket:
        welcome = await socket.receive_json(timeout=5)
        assert welcome["type"] == "welcome"
        assert welcome["handler_id"] == "WSH1"
        (session,) = quay.node.sessions
        assert (session.uid, session.session_id) == ("ann", welcome["session_id"])
        await socket.send_str("hi")
        assert await socket.receive_str(timeout=5) == "ann: hi"
        await until(lambda: reported(good) == 1)
        located = await good.allocator.locate("ann")
        assert located is not None
        assert located.connected
        assert (await good.allocator.states())[0].held == 0
    await until(lambda: reported(good) == 0)
    assert await good.allocator.locate("ann") is None
    assert quay.node.sessions == ()


async def test_a_bug_in_the_users_code_gives_the_place_back(
    good: Gateway, quay: Harbour, caplog: pytest.LogCaptureFixture
) -> None:
    async with await quay.connect(await good.ticket()) as socket:
        await socket.receive(timeout=5)
        await socket.send_str("break")
        assert (await socket.receive(timeout=5)).data == 1011
    await until(lambda: quay.node.sessions == ())
    await until(lambda: reported(good) == 0)
    await until(lambda: "a bug in the user's own code" in caplog.text)


async def test_a_turned_away_client_is_no_error(
    good: Gateway, quay: Harbour, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    assert await quay.verdict("x") == 4400
    assert caplog.records == []
    assert quay.node.turned_away == {Refusal.MALFORMED: 1}
    assert quay.node.sessions == ()


async def test_a_full_house_is_known_at_the_gateway_and_a_free_place_too(good: Gateway) -> None:
    async with harbour(good, capacity=3) as quay:
        sockets = [await quay.connect(await good.ticket(uid)) for uid in "abc"]
        for socket in sockets:
            assert await first(socket) == "welcome"
        await until(lambda: reported(good) == 3)
        with pytest.raises(AssertionError, match="no_capacity"):
            await good.ticket("d")
        await sockets[0].close()
        await until(lambda: reported(good) == 2)
        assert await quay.verdict(await good.ticket("d")) == "welcome"
        for socket in sockets:
            await socket.close()


async def test_a_gateway_that_has_forgotten_everything_learns_it_again(good: Gateway, quay: Harbour) -> None:
    async with await quay.connect(await good.ticket()) as socket:
        await socket.receive(timeout=5)
        async with forgets_handlers(good):
            await until(lambda: len(good.of("/handlers/register")) == 2)
            assert (await good.allocator.states())[0].connections == 1
            assert await quay.verdict(await good.ticket("bob")) == "welcome"


async def test_an_error_in_its_reports_does_not_end_them(good: Gateway, quay: Harbour) -> None:
    link = quay.node._link
    heard, failures = link._heard, ["a bug of our own", "and again"]

    def fails_at_first(noted: Noted) -> None:
        if failures:
            raise RuntimeError(failures.pop())
        heard(noted)

    link._heard = fails_at_first
    link._news.set()
    await until(lambda: not failures)
    told = len(good.of(REPORT))
    await until(lambda: len(good.of(REPORT)) > told)
    assert quay.node.ready
    assert await quay.verdict(await good.ticket()) == "welcome"


async def test_replaced_by_a_later_process_it_lets_nobody_in(good: Gateway, quay: Harbour) -> None:
    shown = await good.ticket()
    later = Hello(WSH1, quay.node.epoch + 1, "http://h:1", "/ws", 10)
    await good.allocator.hello(later)
    await until(lambda: not quay.node.ready)
    assert await quay.verdict(shown) == 4503


async def test_stopping_it_asks_its_clients_to_leave_one_after_the_other(good: Gateway) -> None:
    async with harbour(good, leave_s=0.4) as quay:
        sockets = [await quay.connect(await good.ticket(uid)) for uid in "abcd"]
        for socket in sockets:
            await socket.receive(timeout=5)
        left: list[float] = []

        async def stay(socket: Any) -> int:
            message = await socket.receive(timeout=5)
            left.append(time.monotonic())
            assert message.type is WSMsgType.CLOSE
            return int(message.data)

        staying = asyncio.gather(*map(stay, sockets))
        await quay.stop()
        assert await staying == [1012] * 4
        assert left == sorted(set(left))
        assert any(body["leaving"] for body in good.of(REPORT))
        assert (await good.allocator.states())[0].why_not == "leaving"
        assert quay.node.sessions == ()


class HasABug(random.Random):
    """Fails with a ticket in its hands."""

    def random(self) -> float:
        ticket = TICKET
        raise KeyError(len(ticket))


async def test_a_death_is_logged_without_what_it_had_in_hands(
    good: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    good.breaks_off = True  # so it waits for a random time, and dies of that
    logged: list[str] = []

    def died() -> bool:
        logged.append(capsys.readouterr().out)
        return "task_died" in "".join(logged)

    async with harbour(good, ready=False, rng=HasABug()) as quay:
        await until(died)
        assert not quay.node.ready
    assert "KeyError" in "".join(logged)
    assert TICKET not in "".join(logged)


async def test_the_last_report_has_nobody_left(good: Gateway) -> None:
    async with harbour(good) as quay, await quay.connect(await good.ticket()) as socket:
        await socket.receive(timeout=5)
        await until(lambda: reported(good) == 1)
    assert reported(good) == 0
    assert good.of(REPORT)[-1]["leaving"]


async def test_what_it_is_doing_can_be_asked(good: Gateway) -> None:
    async with harbour(good) as quay, await quay.connect(await good.ticket()) as socket:
        await socket.receive(timeout=5)
        assert await quay.verdict("x") == 4400
        async with quay.session.get(quay.url.replace("/ws", "/stats")) as answer:
            assert await answer.json() == {
                "handler_id": "WSH1",
                "epoch": quay.node.epoch,
                "connections": 1,
                "capacity": 100,
                "ready": True,
                "draining": False,
                "turned_away": {"malformed": 1},
            }


async def test_an_app_keeps_its_own_stats() -> None:
    async def own(_: web.Request) -> web.Response:
        return web.Response(text="mine")

    app = web.Application()
    app.router.add_get("/stats", own)
    HandlerNode(
        handler_id="WSH1", gateways=["http://127.0.0.1:1"], public_url="http://h:1", capacity=1, consul=None
    ).attach(app)
    async with (
        TestServer(app) as server,
        ClientSession() as session,
        session.get(server.make_url("/stats")) as answer,
    ):
        assert await answer.text() == "mine"


def moved(quay: Harbour, **changes: Any) -> str:
    """A ticket for a client that another handler has sent here."""
    now, epoch = int(quay.node._door._clock()), quay.node.epoch
    claims = TicketClaims(
        "quaymaster",
        WSH1,
        epoch,
        Uid("ann"),
        Jti("j" * 32),
        now,
        now + 60,
        now + 12,
        "s" * 32,
        Purpose.MIGRATE,
    )
    return sign(claims._replace(**changes), TicketSecrets(SECRET).key_for(WSH1, epoch))


async def test_a_client_that_moved_here_is_known_before_it_is_welcomed(good: Gateway) -> None:
    heard: list[Session] = []

    async def on_migrate_in(session: Session) -> None:
        heard.append(session)

    async with harbour(good, on_migrate_in=on_migrate_in) as quay:
        async with quay.session.ws_connect(
            quay.url, params={"seq": "41"}, protocols=("wst.v1", f"wst.{moved(quay)}")
        ) as socket:
            assert (await socket.receive_json(timeout=5))["session_id"] == "s" * 32
            (session,) = heard
            assert (session.uid, session.session_id, session.seq, session.resumed) == (
                "ann",
                "s" * 32,
                41,
                True,
            )
        again = moved(quay, jti=Jti("k" * 32), purpose=Purpose.CONNECT)
        assert await quay.verdict(again) == "welcome"  # after a lost connection, and not moved
        assert len(heard) == 1


async def test_a_client_in_a_session_of_its_own_is_not_resumed(good: Gateway, quay: Harbour) -> None:
    async with await quay.connect(None) as socket:
        await socket.send_json({"type": "auth", "ticket": await good.ticket(), "seq": 7})
        assert await first(socket) == "welcome"
        (session,) = quay.node.sessions
        assert (session.seq, session.resumed) == (7, False)


@pytest.mark.parametrize("seq", ["", "-1", "x", "9" * 17])
async def test_a_sequence_that_is_no_number_is_refused(good: Gateway, quay: Harbour, seq: str) -> None:
    shown = ("wst.v1", f"wst.{await good.ticket()}")
    async with quay.session.ws_connect(quay.url, params={"seq": seq}, protocols=shown) as socket:
        message = await socket.receive(timeout=5)
        assert (message.data, message.extra) == (4400, "bad_sequence")
    assert await quay.verdict(shown[1][4:]) == "welcome"  # the ticket is as good as before


async def test_advice_for_clients_is_at_hand(quay: Harbour) -> None:
    assert quay.node.reconnect["jitter"] == "full"
    assert repr(quay.node).startswith("<HandlerNode WSH1 epoch ")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"public_url": "host:8001"}, "public_url"),
        ({"capacity": 0}, "capacity"),
        ({"path": "ws"}, "path"),
        ({"gateways": []}, "gateways"),
        ({"handler_id": ""}, "handler_id"),
        ({"drain_s": 0}, "drain_s"),
        ({"leave_s": -1}, "leave_s"),
        ({"public_url": "http://host", "consul": "127.0.0.1:8500"}, "port"),
    ],
)
def test_arguments_that_can_not_be_right_are_refused(wrong: dict[str, Any], says: str) -> None:
    right: dict[str, Any] = {
        "handler_id": "WSH1",
        "gateways": ["http://127.0.0.1:1"],
        "public_url": "http://127.0.0.1:8001",
        "capacity": 10,
        "consul": None,
    }
    HandlerNode(**right)
    with pytest.raises((ValueError, BadAddress), match=says):
        HandlerNode(**(right | wrong))


PROGRAM = """
import sys
from aiohttp import web
from handlers.runtime.node import HandlerNode

port, gateway, consul, drain_s = int(sys.argv[1]), sys.argv[2], sys.argv[3] or None, float(sys.argv[4])
node = HandlerNode(handler_id="node-under-test", gateways=[gateway], public_url=f"http://127.0.0.1:{port}",
                   capacity=7, service="node-test", consul=consul, drain_s=drain_s)

async def chat(request):
    async with node.session(request) as session:
        async for message in session.socket:
            await session.socket.send_str(f"{session.uid}: {message.data}")
    return session.socket

app = web.Application()
app.router.add_get("/ws", chat)
node.attach(app)
web.run_app(app, host="127.0.0.1", port=port, print=None)
"""


@asynccontextmanager
async def real_process(
    made: Gateway, drain_s: float, consul: str = ""
) -> AsyncIterator[tuple[asyncio.subprocess.Process, ClientWebSocketResponse]]:
    """The ten lines of the SDK's docstring, with a client."""
    port = free_ports(1)[0]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(port), made.url, consul, str(drain_s),
        cwd=ROOT, env=dict(os.environ, PYTHONPATH=str(ROOT)),
    )  # fmt: skip
    try:
        await until(lambda: made.of(REPORT), timeout_s=20)
        async with ClientSession() as session:
            socket = await session.ws_connect(
                f"http://127.0.0.1:{port}/ws", protocols=("wst.v1", f"wst.{await made.ticket()}")
            )
            assert await first(socket) == "welcome"
            yield process, socket
            await socket.close()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_real_process_registers_serves_and_leaves_on_sigterm(
    good: Gateway, consul: ConsulAgent
) -> None:
    """With a real Consul, from start to end."""

    async def registrations(session: ClientSession) -> list[Any]:
        url = f"http://{consul.address}/v1/health/service/node-test?passing"
        async with session.get(url) as answer:
            found: list[Any] = await answer.json()
            return found

    async with ClientSession() as session, real_process(good, 1.0, consul.address) as (process, socket):
        async with asyncio.timeout(20):
            while not (found := await registrations(session)):  # noqa: ASYNC110 Consul has to be asked
                await asyncio.sleep(0.05)
        meta = found[0]["Service"]["Meta"]
        assert meta.pop("incarnation").isdigit()
        assert meta.pop("public_url").startswith("http://127.0.0.1:")
        assert meta == {
            "path": "/ws",
            "capacity": "7",
            "sdk": "1",
        }
        process.send_signal(signal.SIGTERM)
        await until(lambda: any(body["leaving"] for body in good.of(REPORT)))
        await socket.send_str("do you hear me?")  # nothing of what clients say meanwhile is lost
        assert await socket.receive_str(timeout=5) == "ann: do you hear me?"
        message = await socket.receive(timeout=10)
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1012)
        assert await asyncio.wait_for(process.wait(), 10) == 0
        assert await registrations(session) == []
    assert (await good.allocator.states())[0].why_not == "leaving"


async def test_a_real_process_that_moved_its_clients_does_not_wait_for_the_deadline(good: Gateway) -> None:
    good.elsewhere = 1
    async with real_process(good, 60.0) as (process, socket):
        process.send_signal(signal.SIGTERM)
        assert await first(socket) == "migrate"
        await socket.close()
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_second_signal_ends_a_real_process_at_once(good: Gateway) -> None:
    async with real_process(good, 60.0) as (process, socket):
        process.send_signal(signal.SIGTERM)
        await until(lambda: any(body["leaving"] for body in good.of(REPORT)))
        good.breaks_off = True  # nor does it need a gateway for that
        process.send_signal(signal.SIGTERM)
        assert await first(socket) == 1012
        assert await asyncio.wait_for(process.wait(), 10) == 0
