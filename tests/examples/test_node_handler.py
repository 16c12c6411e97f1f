"""The handler in Node.js: a process that knows nothing of us but docs/handlers.md, at real gateways."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse

from handlers.model import DrainOrder, HandlerId, Hello, Jti, PoolSettings, Uid
from handlers.ticket import TicketClaims, TicketSecrets, sign
from registry.runtime.clock import unix_now
from tests.gateway.runtime.gateways import eventually, token
from tests.gateway.runtime.gateways import gateway as real_gateway
from tests.handlers.runtime.clients import first, harbour
from tests.handlers.runtime.gateways import SECRET, Gateway, gateway, until
from tests.servers import ROOT, find_modules, find_program, free_ports

EXAMPLE = ROOT / "examples" / "node-handler"
NODE = HandlerId("WSH9")
REPORT = "/handlers/report"
KEY = "an internal key of the tests"
HOW = "install Node.js 18.11 or later, from nodejs.org or your system's packages"


class NodeHandler:
    """A running `handler.js` and its clients."""

    def __init__(
        self, process: asyncio.subprocess.Process, made: Gateway, url: str, session: ClientSession
    ) -> None:
        self.process = process
        self.gateway = made
        self.url = url
        self.session = session

    @property
    def epoch(self) -> int:
        return int(self.gateway.of("/handlers/register")[0]["epoch"])

    async def connect(self, ticket: str) -> ClientWebSocketResponse:
        return await self.session.ws_connect(self.url, protocols=("wst.v1", f"wst.{ticket}"))

    async def verdict(self, ticket: str) -> int | str:
        async with await self.connect(ticket) as socket:
            return await first(socket)

    async def clients(self, uids: str) -> dict[str, ClientWebSocketResponse]:
        sockets = {uid: await self.connect(await self.gateway.ticket(uid)) for uid in uids}
        for socket in sockets.values():
            assert await first(socket) == "welcome"
        return sockets

    def reported(self) -> int:
        return int(self.gateway.of(REPORT)[-1]["connections"])

    def ticket(self, *, secret: str = SECRET, handler: HandlerId = NODE, **changes: Any) -> str:
        """A ticket that no gateway gave out: by default a good one."""
        now, epoch = int(unix_now()), int(changes.get("epoch", self.epoch))
        claims = TicketClaims(
            "quaymaster", handler, epoch, Uid("ann"), Jti("j" * 32), now, now + 60, now + 12, "s" * 32
        )
        return sign(claims._replace(**changes), TicketSecrets(secret).key_for(handler, epoch))


@asynccontextmanager
async def node_process(
    gateway_url: str, folder: Path, *words: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`handler.js` and its URL. It runs beside its packages, which are not in the repository."""
    node, modules = find_program("node", HOW), find_modules("node-handler")
    for name in ("handler.js", "package.json"):
        shutil.copy(EXAMPLE / name, folder)
    (folder / "node_modules").symlink_to(modules)
    (port,) = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        node, "handler.js", "--id", NODE, "--port", str(port), "--gateway", gateway_url, *words,
        cwd=folder, env={**os.environ, "INTERNAL_KEY": KEY},
    )  # fmt: skip
    try:
        yield process, f"http://127.0.0.1:{port}/ws"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def node_handler(made: Gateway, folder: Path, *words: str) -> AsyncIterator[NodeHandler]:
    """`handler.js`, introduced to `made`."""
    async with node_process(made.url, folder, *words) as (process, url), ClientSession() as session:
        await until(lambda: made.of(REPORT) or process.returncode is not None, timeout_s=60)
        assert process.returncode is None
        yield NodeHandler(process, made, url, session)


@pytest.fixture
async def good() -> AsyncIterator[Gateway]:
    async with gateway(PoolSettings(capacity=100, seats_per_user=100)) as made:
        yield made


async def test_a_client_comes_talks_and_goes_and_the_gateway_knows(good: Gateway, tmp_path: Path) -> None:
    async with node_handler(good, tmp_path, "--capacity", "5") as handler:
        assert good.keys == {KEY}
        async with await handler.connect(await good.ticket("ann")) as socket:
            assert socket.protocol == "wst.v1"
            welcome = await socket.receive_json(timeout=5)
            assert (welcome["type"], welcome["handler_id"]) == ("welcome", NODE)
            await socket.send_str("hi")
            assert await socket.receive_str(timeout=5) == "ann: hi"
            await until(lambda: handler.reported() == 1)
            located = await good.allocator.locate("ann")
            assert located is not None
            assert located.connected
            (state,) = await good.allocator.states()
            assert (state.held, state.connections, state.capacity) == (0, 1, 5)
        await until(lambda: handler.reported() == 0)
        assert await good.allocator.locate("ann") is None


async def test_each_ticket_has_the_verdict_that_the_sdk_gives(good: Gateway, tmp_path: Path) -> None:
    now = int(unix_now())
    async with node_handler(good, tmp_path) as handler:
        shown = {
            "good": handler.ticket(),
            "used": handler.ticket(),
            "another handler's": handler.ticket(handler=HandlerId("WSH2")),
            "before the restart": handler.ticket(epoch=handler.epoch - 1),
            "expired": handler.ticket(jti=Jti("e"), issued_at=now - 90, expires_at=now - 30),
            "not yet": handler.ticket(jti=Jti("n"), issued_at=now + 30),
            "another issuer's": handler.ticket(jti=Jti("i"), issuer="somebody"),
            "forged": handler.ticket(jti=Jti("f"))[:-8] + "AAAAAAAA",
            "another cluster's": handler.ticket(secret="x" * 32),
            "not even a token": "x",
        }
        assert {name: await handler.verdict(ticket) for name, ticket in shown.items()} == {
            "good": "welcome",
            "used": 4409,
            "another handler's": 4403,
            "before the restart": 4403,
            "expired": 4401,
            "not yet": 4401,
            "another issuer's": 4400,
            "forged": 4400,
            "another cluster's": 1013,
            "not even a token": 4400,
        }
        async with handler.session.ws_connect(handler.url) as socket:
            assert await first(socket) == 4400


async def test_its_own_clock_may_be_wrong(
    good: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late.cjs").write_text("const right = Date.now; Date.now = () => right() - 3_600_000;")
    monkeypatch.setenv("NODE_OPTIONS", f"--require {tmp_path / 'late.cjs'}")
    async with node_handler(good, tmp_path) as handler:
        assert handler.epoch < (unix_now() - 3000) * 1000  # it is an hour late
        assert await handler.verdict(await good.ticket()) == "welcome"
        assert not good.of("/handlers/admit")


async def test_twenty_uses_of_one_ticket_at_once_are_one_client(good: Gateway, tmp_path: Path) -> None:
    async with node_handler(good, tmp_path) as handler:
        for ticket in (handler.ticket(), handler.ticket(jti=Jti("l"), guaranteed_until=0.0)):
            verdicts = await asyncio.gather(*(handler.verdict(ticket) for _ in range(20)))
            assert sorted(map(str, verdicts)) == ["4409"] * 19 + ["welcome"]


async def test_its_own_room_has_the_last_word_and_late_comers_are_asked_for(
    good: Gateway, tmp_path: Path
) -> None:
    async with node_handler(good, tmp_path, "--capacity", "1") as handler:
        await good.ticket("bob")  # who is on the way, to the only place
        assert await handler.verdict(handler.ticket(jti=Jti("a"), guaranteed_until=0.0)) == 4429
        async with await handler.connect(handler.ticket(jti=Jti("b"))) as socket:
            assert await first(socket) == "welcome"
            assert await handler.verdict(handler.ticket(jti=Jti("c"))) == 4429
        await until(lambda: handler.reported() == 0)
        good.breaks_off = True  # with nobody to ask, it decides
        assert await handler.verdict(handler.ticket(jti=Jti("d"), guaranteed_until=0.0)) == "welcome"


async def test_drained_it_sends_its_clients_to_their_new_seats(good: Gateway, tmp_path: Path) -> None:
    async with node_handler(good, tmp_path) as handler, harbour(good, handler_id="WSH2") as other:
        await good.allocator.drain(HandlerId("WSH2"), DrainOrder(600.0))  # so that all come here first
        sockets = await handler.clients("abc")
        await good.allocator.drain(HandlerId("WSH2"), None)
        await until(lambda: other.node.ready)
        await good.allocator.drain(NODE, DrainOrder(4.0))
        for uid, socket in sockets.items():
            told = await socket.receive_json(timeout=5)
            assert (told["type"], told["handler_id"]) == ("migrate", "WSH2")
            assert 0 < told["deadline_ms"] <= 4000
            new = await other.connect(told["ticket"])
            assert await first(new) == "welcome"
            await socket.close()
            await new.send_str("hi")
            assert await new.receive_str(timeout=5) == f"{uid}: hi"
            await new.close()
        await until(lambda: handler.reported() == 0)
        late = handler.ticket(jti="l" * 32, guaranteed_until=0.0)
        assert await handler.verdict(late) == 4503
        await until(lambda: any("l" * 32 in body["closed"] for body in good.of(REPORT)))
        assert await handler.verdict(late) == 4409
        await good.allocator.drain(NODE, None)
        said = len(good.of(REPORT))
        await until(lambda: len(good.of(REPORT)) > said + 1)  # the answer to one of them says so
        assert await handler.verdict(handler.ticket()) == "welcome"


async def test_with_nowhere_to_go_its_clients_are_closed_by_the_deadline(
    good: Gateway, tmp_path: Path
) -> None:
    async with node_handler(good, tmp_path) as handler:
        sockets = await handler.clients("abc")
        await good.allocator.drain(NODE, DrainOrder(2.0))
        assert [await first(socket) for socket in sockets.values()] == [1012] * 3
        await until(lambda: handler.reported() == 0)


async def test_stopped_it_leaves_as_it_does_when_drained(good: Gateway, tmp_path: Path) -> None:
    async with node_handler(good, tmp_path, "--drain", "3") as handler:
        (socket,) = (await handler.clients("a")).values()
        good.elsewhere = 1
        handler.process.send_signal(signal.SIGTERM)
        assert await first(socket) == "migrate"
        await socket.close()
        assert await asyncio.wait_for(handler.process.wait(), 10) == 0
        last = good.of(REPORT)[-1]
        assert (last["connections"], last["leaving"]) == (0, True)


async def test_forgotten_it_says_hello_again(good: Gateway, tmp_path: Path) -> None:
    async with node_handler(good, tmp_path) as handler:
        good.says = (404, b'{"reason": "unknown_handler"}')
        await until(lambda: len(good.of("/handlers/register")) > 1)
        good.says = None
        await until(lambda: good.of("/handlers/register")[-1]["epoch"] == handler.epoch)
        assert await handler.verdict(handler.ticket()) == "welcome"


async def test_replaced_by_a_later_process_it_lets_nobody_in(good: Gateway, tmp_path: Path) -> None:
    async with node_handler(good, tmp_path) as handler:
        ticket = handler.ticket()
        await good.allocator.hello(Hello(NODE, handler.epoch + 1, "http://h:1", "/ws", 10))
        said = len(good.of(REPORT))
        await until(lambda: len(good.of(REPORT)) > said + 1)
        assert await handler.verdict(ticket) == 4503


async def test_the_whole_story_at_a_gateway(tmp_path: Path) -> None:
    """The front door that clients and operators use, and no part of it made for tests."""
    registry = {"backend": "embedded", "address": "127.0.0.1:0", "register_as": None}
    async with real_gateway(registry=registry, handlers={}, internal={"key": KEY}) as running:

        async def admin(method: str, path: str, body: object = None) -> Any:
            async with session.request(method, f"{base}/admin/handlers{path}", json=body) as answer:
                return await answer.json()

        async def connections() -> int:
            return int((await admin("GET", f"/{NODE}")).get("connections", -1))

        async def has(count: int) -> bool:
            return await connections() == count

        async def is_drained() -> bool:
            told = await admin("GET", f"/{NODE}/drain?wait=5")  # at most until the deadline
            return (told["state"], told["remaining"]) == ("drained", 0)

        base = f"http://127.0.0.1:{running.port}"
        async with (
            ClientSession(headers={"X-Internal-Key": KEY, "token": token("ann")}) as session,
            node_process(base, tmp_path) as (_, url),
        ):
            await eventually(partial(has, 0))
            async with session.get(f"{base}/get_websocket_handler") as answer:
                seat = await answer.json()
            assert (answer.status, seat["websocket_url"]) == (200, url.replace("http", "ws"))
            protocols = ("wst.v1", f"wst.{seat['ticket']}")
            async with session.ws_connect(seat["websocket_url"], protocols=protocols) as socket:
                assert (await socket.receive_json(timeout=5))["session_id"] == seat["session_id"]
                async with session.ws_connect(seat["websocket_url"], protocols=protocols) as again:
                    assert await first(again) == 4409
                await eventually(partial(has, 1))
                await admin("POST", f"/{NODE}/drain", {"deadline_s": 2})
                assert await first(socket) == 1012  # there is no other handler
            await eventually(is_drained)


def test_its_packages_are_named_without_an_address() -> None:
    package = json.loads((EXAMPLE / "package.json").read_text())
    assert list(package["dependencies"]) == ["ws"]
    assert "http" not in json.dumps(package)
    assert sorted(path.name for path in EXAMPLE.iterdir()) == ["README.md", "handler.js", "package.json"]
