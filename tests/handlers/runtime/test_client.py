import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession

from handlers.client import State, Status
from handlers.runtime.client import HandlerClient, client_session
from tests.handlers.runtime.gateways import until
from tests.handlers.runtime.piers import SESSION, Harbourmaster, harbourmaster, migrate


@pytest.fixture
async def master() -> AsyncIterator[Harbourmaster]:
    async with harbourmaster() as master:
        yield master


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with client_session() as session:
        yield session


class Ada:
    """A client, and all that it tells."""

    def __init__(self) -> None:
        self.client: HandlerClient
        self.told: list[Status] = []

    @property
    def states(self) -> list[State]:
        return [status.state for status in self.told]


@asynccontextmanager
async def ada(master: Harbourmaster, session: ClientSession, **settings: Any) -> AsyncIterator[Ada]:
    made = Ada()
    wanted: dict[str, Any] = {"token": "good", "on_status": made.told.append}
    async with HandlerClient(master.url, uid="ada", session=session, **(wanted | settings)) as made.client:
        yield made


async def texts(client: HandlerClient, count: int) -> list[Any]:
    async with asyncio.timeout(5):
        return [await anext(client) for _ in range(count)]


async def test_it_asks_connects_talks_and_leaves(master: Harbourmaster, session: ClientSession) -> None:
    pier = master.piers["WSH1"]
    async with ada(master, session, pool="chat") as it:
        await it.client.connected()
        assert (it.client.handler, it.client.session_id, it.client.sockets) == ("WSH1", SESSION, 1)
        assert await it.client.send({"hi": 1})
        assert await it.client.send("text")
        await until(lambda: pier.heard == ['{"hi":1}', "text"])
        await pier.say({"type": "news"})
        assert await texts(it.client, 1) == [{"type": "news"}]
    assert master.asked[0]["token"] == "good"
    assert master.asked[0]["uid"] == "ada"
    assert master.queries == [{"pool": "chat"}]
    assert pier.came_with == [("wst.v1,wst.t1", None)]
    assert it.states == [State.ASKING, State.CONNECTING, State.CONNECTED, State.CLOSED]
    assert [message async for message in it.client] == []
    assert await it.client.send("too late") is False
    await until(lambda: pier.closed_with == [1000])


async def test_after_a_death_it_goes_elsewhere_with_its_session(
    master: Harbourmaster, session: ClientSession
) -> None:
    async with ada(master, session) as it:
        await it.client.connected()
        await master.piers["WSH1"].say({"seq": 7})
        await texts(it.client, 1)
        master.piers["WSH1"].die()
        await until(lambda: it.client.handler == "WSH2")
        assert it.client.losses == 1
    assert master.asked[-1]["X-Exclude-Handler"] == "WSH1"
    assert master.asked[-1]["X-Session-Id"] == SESSION
    assert master.piers["WSH2"].came_with[0][1] == "7"


async def test_a_move_leaves_no_gap_and_doubles_nothing(
    master: Harbourmaster, session: ClientSession
) -> None:
    old, new = master.piers.values()
    async with ada(master, session) as it:
        await it.client.connected()
        await old.say({"seq": 1}, migrate(new), {"seq": 2}, {"seq": 3})
        await until(lambda: it.client.handler == "WSH2")
        await new.say({"seq": 2}, {"seq": 3}, {"seq": 4})
        assert await texts(it.client, 4) == [{"seq": number} for number in (1, 2, 3, 4)]
        await until(lambda: old.closed_with == [1000])
        await until(lambda: it.client.sockets == 1)
        assert (it.client.moves, it.client.losses) == (1, 0)
        assert it.client.status == Status(State.CONNECTED, "WSH2", moved_from="WSH1")
    ((offered, seq),) = new.came_with
    assert offered == "wst.v1,wst.moved"
    assert seq in {"1", "2", "3"}
    assert len(master.asked) == 1


async def test_until_the_new_handlers_welcome_the_old_one_serves(
    master: Harbourmaster, session: ClientSession
) -> None:
    old, new = master.piers.values()
    new.never_welcomes = True
    async with ada(master, session) as it:
        await it.client.connected()
        await old.say(migrate(new))
        await until(lambda: new.sockets)
        await old.say({"seq": 1})
        assert await texts(it.client, 1) == [{"seq": 1}]
        assert await it.client.send("still here")
        await until(lambda: old.heard == ["still here"])
        assert it.client.handler == "WSH1"
        await new.say({"type": "welcome"})
        await until(lambda: it.client.handler == "WSH2")


async def test_a_move_that_fails_leaves_all_as_it_was(master: Harbourmaster, session: ClientSession) -> None:
    old, new = master.piers.values()
    new.refuses = 4429
    async with ada(master, session) as it:
        await it.client.connected()
        await old.say(migrate(new))
        await until(lambda: it.told[-1].why == "the move failed")
        assert (it.client.handler, it.client.moves) == ("WSH1", 0)
        new.refuses = None
        await old.say(migrate(new))
        await until(lambda: it.client.handler == "WSH2")


@pytest.mark.parametrize("arrives", [True, False])
async def test_the_old_handlers_end_in_the_middle_of_a_move_waits_for_the_new_one(
    master: Harbourmaster, session: ClientSession, arrives: bool
) -> None:
    old, new = master.piers.values()
    new.never_welcomes = True
    async with ada(master, session) as it:
        await it.client.connected()
        await old.say(migrate(new))
        await until(lambda: new.sockets)
        old.die()
        await until(lambda: it.client.sockets == 0)
        await (new.say({"type": "welcome"}) if arrives else new.close(1013))
        new.never_welcomes = False
        await until(lambda: it.client.handler is not None and it.client.sockets == 1)
        assert (it.client.moves, it.client.losses) == ((1, 0) if arrives else (0, 1))
    assert len(master.asked) > 1 or arrives
    assert "the move failed" not in [status.why for status in it.told]


async def test_while_it_moves_another_order_is_not_followed(
    master: Harbourmaster, session: ClientSession
) -> None:
    old, new = master.piers.values()
    new.never_welcomes = True
    async with ada(master, session) as it:
        await it.client.connected()
        await old.say(migrate(new), migrate(new), {"type": "done"})
        await texts(it.client, 1)
        await until(lambda: new.sockets)
        await new.say({"type": "welcome"})
        await until(lambda: it.client.handler == "WSH2")
    assert len(new.came_with) == 1


async def test_the_applications_last_word_ends_it(master: Harbourmaster, session: ClientSession) -> None:
    async with ada(master, session) as it:
        await it.client.connected()
        await master.piers["WSH1"].say({"bye": 1})
        await master.piers["WSH1"].close(4001)
        async with asyncio.timeout(5):
            assert [message async for message in it.client] == [{"bye": 1}]
        assert it.client.status == Status(State.CLOSED, why="WSH1 closed the connection with 4001")
    assert it.states.count(State.CLOSED) == 1


async def test_it_comes_at_its_appointment_with_its_token(
    master: Harbourmaster, session: ClientSession
) -> None:
    master.script.append((503, {"queue_token": "q1", "message": "a herd"}, {"Retry-After": "0"}))
    async with ada(master, session) as it:
        await it.client.connected()
    assert [asked.get("X-Queue-Token") for asked in master.asked] == [None, "q1"]
    assert it.told[1].state is State.WAITING
    assert it.told[1].why == "a herd"


async def test_a_token_that_has_ended_is_renewed_once(master: Harbourmaster, session: ClientSession) -> None:
    tokens = iter(["old", "new"])

    async def token() -> str:
        return next(tokens)

    master.tokens = {"new"}
    async with ada(master, session, token=token) as it:
        await it.client.connected()
    assert [asked["token"] for asked in master.asked] == ["old", "new"]


async def test_a_token_that_is_refused_ends_it(master: Harbourmaster, session: ClientSession) -> None:
    master.tokens = {"another"}
    async with ada(master, session) as it:
        await until(lambda: it.client.status.state is State.CLOSED)
        assert it.client.status.why == "bad token"


async def test_a_token_that_cannot_be_had_is_asked_for_again(
    master: Harbourmaster, session: ClientSession
) -> None:
    asked = []

    async def token() -> str:
        asked.append(1)
        if len(asked) == 1:
            raise ConnectionRefusedError
        return "good"

    async with ada(master, session, token=token) as it:
        await it.client.connected()
    assert State.WAITING in it.states


async def test_advice_frames_count(master: Harbourmaster, session: ClientSession) -> None:
    pier = master.piers["WSH1"]
    async with ada(master, session) as it:
        await it.client.connected()
        await pier.say({"type": "advice", "reconnect": {"first_ms": [60_000, 60_000]}}, {"x": 1})
        await texts(it.client, 1)
        await pier.close(1012)
        await until(lambda: it.client.status.state is State.WAITING)
        assert it.client.status.wait_s == 60


async def test_who_reads_nothing_holds_up_only_itself(master: Harbourmaster, session: ClientSession) -> None:
    async with ada(master, session, queue=2) as it:
        await it.client.connected()
        await master.piers["WSH1"].say(*({"seq": number} for number in range(1, 51)))
        assert await texts(it.client, 50) == [{"seq": number} for number in range(1, 51)]


async def test_a_session_can_be_taken_up_again(master: Harbourmaster, session: ClientSession) -> None:
    async with ada(master, session, session_id=SESSION, seq=41) as it:
        await it.client.connected()
        assert it.client.seq == 41
    assert master.asked[0]["X-Session-Id"] == SESSION
    assert master.piers["WSH1"].came_with[0][1] == "41"
