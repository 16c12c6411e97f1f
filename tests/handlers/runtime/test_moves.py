"""Clients on their way to another handler: drained, rebalanced, and closed when there is no other."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType
from structlog.testing import capture_logs

from handlers import drain_pace
from handlers.drain_pace import MAX_TRIES
from handlers.model import DrainOrder, HandlerId, Hello, PoolSettings
from handlers.runtime import moves
from handlers.runtime.client_socket import Session
from tests.handlers.runtime.clients import Harbour, first, harbour
from tests.handlers.runtime.gateways import Gateway, gateway, until

REPORT = "/handlers/report"


@pytest.fixture
async def good() -> AsyncIterator[Gateway]:
    async with gateway(PoolSettings(capacity=100, seats_per_user=100)) as made:
        yield made


@asynccontextmanager
async def with_clients(
    made: Gateway, uids: Iterable[str], **settings: Any
) -> AsyncIterator[tuple[Harbour, Any]]:
    """A handler process with these clients, by their uid."""
    async with harbour(made, **settings) as quay:
        clients = {uid: await quay.connect(await made.ticket(uid)) for uid in uids}
        for client in clients.values():
            assert await first(client) == "welcome"
        yield quay, clients
        for client in clients.values():
            await client.close()


def drain(deadline_s: float, rate: float | None = None) -> dict[str, Any]:
    return {"draining": True, "drain": {"deadline_s": deadline_s, "rate": rate}}


async def ordered(made: Gateway, quay: Harbour, orders: dict[str, Any]) -> None:
    """The handler process hears of these orders."""
    made.order(orders)
    assert await quay.node._link.report()


def named(made: Gateway) -> list[str]:
    """Who was named in reports, each once."""
    return list(dict.fromkeys(move["uid"] for body in made.of(REPORT) for move in body.get("move", ())))


async def fate(client: ClientWebSocketResponse) -> int | str:
    """The close code, or the type of the next frame. A client that is sent away goes."""
    told = await first(client)
    if told == "migrate":
        await client.close()
    return told


async def test_a_drained_handlers_clients_are_sent_to_their_new_seats(good: Gateway) -> None:
    async with with_clients(good, "abc") as (quay, clients):
        sessions = {session.uid: session.session_id for session in quay.node.sessions}
        good.elsewhere = 3
        await ordered(good, quay, drain(2.0))
        for uid, client in clients.items():
            frame = await client.receive_json(timeout=5)
            assert 0 < frame.pop("deadline_ms") <= 2000
            assert frame == {
                "type": "migrate",
                "url": "ws://127.0.0.1:9/ws",
                "ticket": f"a ticket of {uid}",
                "handler_id": "WSH2",
            }
            await client.send_str("still here")
            assert await client.receive_str(timeout=5) == f"{uid}: still here"
            await client.close()
        moves = [move for body in good.of(REPORT) for move in body.get("move", ())]
        assert {move["uid"]: move["session_id"] for move in moves} == sessions
        await until(lambda: not quay.node.sessions)
        assert not quay.node.ready


async def test_nobody_notices_a_drain_between_real_handlers(good: Gateway) -> None:
    """From the operator's word to the old connection's end, with seats and tickets of a real allocator."""
    heard: list[tuple[str, int | None]] = []

    async def on_migrate_in(session: Session) -> None:
        heard.append((session.uid, session.seq))

    async def follow(old: ClientWebSocketResponse) -> ClientWebSocketResponse:
        told = await old.receive_json(timeout=5)
        assert (told["type"], told["handler_id"]) == ("migrate", "WSH2")
        new = await other.connect(told["ticket"], params={"seq": "7"})
        assert await first(new) == "welcome"
        await old.close()
        return new

    async with (
        with_clients(good, "abc") as (quay, clients),
        harbour(good, handler_id="WSH2", on_migrate_in=on_migrate_in) as other,
    ):
        sessions = {session.uid: session.session_id for session in quay.node.sessions}
        assert await good.allocator.drain(HandlerId("WSH1"), DrainOrder(3.0))
        moved = await asyncio.gather(*map(follow, clients.values()))
        assert {session.uid: session.session_id for session in other.node.sessions} == sessions
        assert all(session.resumed for session in other.node.sessions)
        assert sorted(heard) == [("a", 7), ("b", 7), ("c", 7)]
        await until(lambda: not quay.node.sessions)
        for uid, client in zip("abc", moved, strict=True):
            await client.send_str("hi")
            assert await client.receive_str(timeout=5) == f"{uid}: hi"
            await client.close()


async def test_who_can_not_be_named_stays_until_the_end_and_keeps_nobody_else(good: Gateway) -> None:
    """A gateway would not read it, nor, an older one, the report that it stands in."""
    async with with_clients(good, ["x" * 256, "a"], leave_s=0.2) as (quay, clients):
        good.elsewhere = 2
        await ordered(good, quay, drain(1.0))
        assert [await fate(clients[uid]) for uid in ("a", "x" * 256)] == ["migrate", 1012]
        assert named(good) == ["a"]


async def test_they_go_at_the_given_pace_and_who_came_first_goes_first(good: Gateway) -> None:
    async with with_clients(good, "abcd") as (quay, clients):
        good.elsewhere = 4
        await ordered(good, quay, drain(60.0, rate=4.0))
        assert [await fate(clients[uid]) for uid in "abcd"] == ["migrate"] * 4
        asked = [body["move"] for body in good.of(REPORT) if body.get("move")]
        assert [len(moves) for moves in asked] == [1] * 4
        assert named(good) == list("abcd")


async def test_who_does_not_follow_is_closed_by_the_deadline(good: Gateway) -> None:
    async with with_clients(good, "ab", leave_s=0.2) as (quay, clients):
        good.elsewhere = 2
        await ordered(good, quay, drain(1.0))
        for client in clients.values():
            assert await first(client) == "migrate"
            assert await first(client) == 1012
        await until(lambda: not quay.node.sessions)


async def test_who_could_not_follow_is_given_another_seat(
    good: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its new handler refuses it, as one that is drained itself by now; the gateway knows of that."""
    monkeypatch.setattr(moves, "AGAIN_S", 0.2)
    async with with_clients(good, "a") as (_, clients):
        await good.allocator.hello(Hello(HandlerId("WSH2"), 5, "http://127.0.0.1:9", "/ws", 100))
        assert await good.allocator.drain(HandlerId("WSH1"), DrainOrder(4.0))
        assert (await clients["a"].receive_json(timeout=5))["handler_id"] == "WSH2"
        async with harbour(good, handler_id="WSH3") as other:
            assert await good.allocator.drain(HandlerId("WSH2"), DrainOrder(60.0))
            while (told := await clients["a"].receive_json(timeout=5))["handler_id"] == "WSH2":
                pass
            assert told["handler_id"] == "WSH3"
            assert await other.verdict(told["ticket"]) == "welcome"


async def test_who_never_follows_is_not_asked_for_ever(
    good: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "AGAIN_S", 0.1)
    async with with_clients(good, "a", leave_s=0.2) as (quay, clients):
        good.elsewhere = 100
        await ordered(good, quay, drain(3.0))
        told = [await first(clients["a"]) for _ in range(MAX_TRIES + 1)]
        assert told == ["migrate"] * MAX_TRIES + [1012]


async def test_nobody_is_asked_twice_before_everybody_was_asked_once(
    good: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "AGAIN_S", 0.1)
    async with with_clients(good, "abc") as (quay, _):
        good.elsewhere = 4
        await ordered(good, quay, drain(60.0, rate=4.0))
        await until(lambda: not good.elsewhere)
        asked = [move["uid"] for body in good.of(REPORT) for move in body.get("move", ())]
        assert asked[:4] == ["a", "b", "c", "a"]


async def test_who_could_not_follow_is_served_while_there_is_no_other_seat(
    good: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "AGAIN_S", 0.1)
    monkeypatch.setattr(drain_pace, "FOLLOW_S", 0.3)
    async with with_clients(good, "a", leave_s=0.2) as (quay, clients):
        good.elsewhere = 1
        await ordered(good, quay, drain(60.0))
        assert await first(clients["a"]) == "migrate"
        asked = len([body for body in good.of(REPORT) if body.get("move")])
        await until(lambda: len([body for body in good.of(REPORT) if body.get("move")]) > asked + 2)
        await clients["a"].send_str("hi")
        assert await clients["a"].receive_str(timeout=5) == "a: hi"


async def test_without_room_elsewhere_they_are_served_until_the_deadline(good: Gateway) -> None:
    with capture_logs() as logs:
        async with with_clients(good, "abc", leave_s=0.3) as (quay, clients):
            await ordered(good, quay, drain(2.0))
            await until(lambda: len([body for body in good.of(REPORT) if body.get("move")]) > 3)
            await clients["a"].send_str("hi")
            assert await clients["a"].receive_str(timeout=5) == "a: hi"
            assert [await first(client) for client in clients.values()] == [1012] * 3
            await until(lambda: not quay.node.sessions)
    assert [line["event"] for line in logs].count("no_room_elsewhere") == 1


async def test_when_room_comes_up_they_move_after_all(good: Gateway) -> None:
    async with with_clients(good, "ab") as (quay, clients):
        await ordered(good, quay, drain(4.0))
        await until(lambda: named(good))
        good.elsewhere = 2
        assert [await fate(client) for client in clients.values()] == ["migrate"] * 2


async def test_a_drain_that_is_called_off_closes_nobody(good: Gateway) -> None:
    async with with_clients(good, "ab", leave_s=0.2) as (quay, clients):
        good.elsewhere = 1
        await ordered(good, quay, drain(1.0, rate=4.0))
        assert await first(clients["a"]) == "migrate"  # and stays
        await ordered(good, quay, {})
        await until(lambda: quay.node.ready)
        asked = len([body for body in good.of(REPORT) if body.get("move")])
        await asyncio.sleep(1.1)  # past the deadline
        for uid, client in clients.items():
            await client.send_str("hi")
            assert await client.receive_str(timeout=5) == f"{uid}: hi"
        assert len([body for body in good.of(REPORT) if body.get("move")]) <= asked + 1
        # A second drain asks both again.
        good.elsewhere = 2
        await ordered(good, quay, drain(2.0, rate=50.0))
        assert sorted([await fate(client) for client in clients.values()], key=str) == ["migrate"] * 2


async def test_a_later_deadline_and_an_earlier_one_are_both_heard(good: Gateway) -> None:
    async with with_clients(good, "a", leave_s=0.1) as (quay, clients):
        await ordered(good, quay, drain(0.6))
        await ordered(good, quay, drain(60.0))
        with pytest.raises(TimeoutError):
            await clients["a"].receive(timeout=0.8)
        await ordered(good, quay, drain(0.6))
        assert await first(clients["a"]) == 1012


async def test_a_deadline_that_is_over_when_it_is_heard_does_not_close_all_at_once(good: Gateway) -> None:
    async with with_clients(good, "abcdefgh", leave_s=0.8) as (quay, clients):
        left: list[float] = []

        async def stay(client: ClientWebSocketResponse) -> int | str:
            told = await first(client)
            left.append(asyncio.get_running_loop().time())
            return told

        staying = asyncio.gather(*map(stay, clients.values()))
        await ordered(good, quay, drain(0.0))
        assert await staying == [1012] * 8
        assert left == sorted(set(left))


async def test_an_answer_that_is_lost_costs_nobody_a_seat(good: Gateway) -> None:
    async with with_clients(good, "ab") as (quay, clients):
        await ordered(good, quay, drain(4.0))
        good.breaks_off = True
        await asyncio.sleep(0.3)
        good.breaks_off, good.elsewhere = False, 2
        assert [await fate(client) for client in clients.values()] == ["migrate"] * 2


async def test_to_even_out_the_load_a_few_move_and_the_door_stays_open(good: Gateway) -> None:
    async with with_clients(good, "abc") as (quay, clients):
        good.elsewhere = 1
        await ordered(good, quay, {"rebalance": 1})
        assert await fate(clients["a"]) == "migrate"
        await ordered(good, quay, {})
        assert quay.node.ready
        assert await quay.verdict(await good.ticket("d")) == "welcome"
        assert named(good)[0] == "a"
        assert [client.closed for client in (clients["b"], clients["c"])] == [False] * 2


async def test_seats_for_clients_that_were_not_named_are_given_to_nobody(good: Gateway) -> None:
    """A session's id is its own user's word: whose ticket it is must be beyond doubt."""
    async with with_clients(good, "a") as (quay, clients):
        (session,) = quay.node.sessions
        seat = {"session_id": "f" * 32, "handler_id": "WSH2", "url": "ws://h:1/ws", "ticket": "x"}
        await ordered(good, quay, drain(60.0) | {"migrate": [seat]})
        await until(lambda: named(good) == ["a"])
        # Not named in this report:
        await ordered(good, quay, drain(60.0) | {"migrate": [seat | {"session_id": session.session_id}]})
        good.order(drain(60.0))
        await clients["a"].send_str("hi")
        answer = await clients["a"].receive_str(timeout=5)
        assert answer == "a: hi" or json.loads(answer)["type"] == "migrate"


async def test_the_application_hears_of_it_before_its_client_does(good: Gateway) -> None:
    heard: list[str] = []

    async def on_migrate_out(session: Session) -> None:
        heard.append(session.uid)
        if session.uid == "b":
            raise RuntimeError("a bug in the user's own code")

    async with with_clients(good, "ab", on_migrate_out=on_migrate_out) as (quay, clients):
        good.elsewhere = 2
        with capture_logs() as logs:
            await ordered(good, quay, drain(2.0))
            for uid, client in clients.items():
                assert await fate(client) == "migrate"
                assert uid in heard
        assert [line["event"] for line in logs].count("on_migrate_out_failed") == 1


async def test_leaving_moves_clients_as_a_drain_does(good: Gateway) -> None:
    async with with_clients(good, "ab", drain_s=3.0) as (quay, clients):
        good.elsewhere = 2
        leaving = asyncio.gather(quay.node.leave())
        assert [await fate(client) for client in clients.values()] == ["migrate"] * 2
        await leaving  # before its deadline: nobody is left
        assert all(body["leaving"] for body in good.of(REPORT) if body.get("move"))


async def test_leaving_ends_by_its_deadline_with_a_gateway_that_says_nothing(good: Gateway) -> None:
    async with with_clients(good, "ab", drain_s=1.0, leave_s=0.2) as (quay, clients):
        good.answers_slowly = True
        async with asyncio.timeout(10):
            leaving = asyncio.gather(quay.node.leave())
            assert [await first(client) for client in clients.values()] == [1012] * 2
            await leaving
        good.answers_slowly = False


async def test_the_frame_is_sent_to_who_is_here(good: Gateway) -> None:
    """A client that left while its seat was being found is not missed."""
    async with with_clients(good, "ab") as (quay, clients):
        good.answers_in_pieces = True
        good.elsewhere = 2
        await ordered(good, quay, drain(4.0))
        await clients["a"].close()
        assert (await clients["b"].receive(timeout=5)).type is WSMsgType.TEXT
        assert repr(quay.node._mover).startswith("<Mover: <DrainPace: ends ")
