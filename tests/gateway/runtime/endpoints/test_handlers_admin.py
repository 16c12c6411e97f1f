"""What operators and deploy tools ask of handlers."""

import asyncio
from typing import Any

import pytest

from gateway.runtime.endpoints.handlers_admin import HandlersAdminEndpoints
from gateway.runtime.endpoints.pools import Pool, Pools
from gateway.runtime.waiting_room import WaitingRoom
from handlers.model import HandlerId, Hello, PoolSettings, Report
from handlers.runtime.allocator import Allocator
from handlers.stores.base import StoreUnreachable
from handlers.stores.memory import MemoryStore
from handlers.ticket import TicketSecrets
from tests.gateway.runtime.dispatchers import dispatcher
from tests.gateway.runtime.gateways import (
    KEY,
    SECRET,
    RawAnswer,
    ask,
    eventually,
    gateway,
    post_json,
    request,
    serving,
    settings_of,
    token,
    wire,
)
from tests.gateway.runtime.handler_pools import (
    HELLO,
    REPORT,
    pool,
    running_pool,
    seat,
    two_pools,
    waiting,
)

DRAIN = "/admin/handlers/WSH1/drain"
BUSY = HELLO | {"connections": 3}


async def drain(port: int, **order: Any) -> RawAnswer:
    return await post_json(port, DRAIN, {"deadline_s": 60} | order)


async def report(port: int, seq: int, connections: int) -> None:
    answer = await post_json(port, "/handlers/report", REPORT | {"seq": seq, "connections": connections})
    assert answer.status == 200


async def test_every_handler_is_listed_with_its_load() -> None:
    async with pool(BUSY, HELLO | {"handler_id": "WSH2"}) as port:
        await seat(port, "X-Exclude-Handler: WSH1")
        listed = (await ask(port, "GET", "/admin/handlers")).json()["handlers"]
        assert [(h["id"], h["connections"], h["held"], h["state"]) for h in listed] == [
            ("WSH1", 3, 0, "up"),
            ("WSH2", 0, 1, "up"),
        ]
        one = (await ask(port, "GET", "/admin/handlers/WSH1")).json()
        assert (one["id"], one["epoch"], one["capacity"], one["pool"]) == ("WSH1", 7, 10, "default")


async def test_a_pool_may_be_looked_at_alone() -> None:
    async with two_pools() as port:
        for query, expected in (("", ["chat-1", "feed-1"]), ("?pool=feed", ["feed-1"])):
            listed = (await ask(port, "GET", f"/admin/handlers{query}")).json()["handlers"]
            assert [handler["id"] for handler in listed] == expected
        assert (await ask(port, "GET", "/admin/handlers?pool=news")).json()["reason"] == "unknown_pool"
        assert (await ask(port, "GET", "/admin/handlers/feed-1")).json()["pool"] == "feed"
        assert (await ask(port, "GET", "/admin/handlers/feed-1?pool=chat")).status == 404


async def test_a_name_that_two_pools_have_needs_its_pool() -> None:
    async with two_pools() as port:
        await post_json(port, "/handlers/register", HELLO | {"pool": "feed", "handler_id": "chat-1"})
        refused = await ask(port, "GET", "/admin/handlers/chat-1")
        assert (refused.status, refused.json()["reason"]) == (400, "missing_parameter")
        assert (await ask(port, "GET", "/admin/handlers/chat-1?pool=feed")).json()["pool"] == "feed"


async def test_a_draining_handler_gets_nobody_and_is_up_again_when_told() -> None:
    async with pool(BUSY) as port:
        told = await drain(port)
        assert told.status == 200
        body = told.json()
        assert (body["handler_id"], body["state"], body["remaining"]) == ("WSH1", "migrating", 3)
        assert 59 < body["deadline_in_s"] <= 60
        assert (await seat(port)).json()["error"] == "no_handlers"
        assert (await ask(port, "GET", DRAIN)).json()["state"] == "migrating"

        again = await ask(port, "DELETE", DRAIN)
        assert (again.status, again.json()["state"]) == (200, "up")
        assert (await seat(port)).status == 200


async def test_a_new_process_of_a_draining_handler_is_up() -> None:
    async with pool(BUSY) as port:
        await drain(port)
        await post_json(port, "/handlers/register", HELLO | {"epoch": 8})
        assert (await ask(port, "GET", DRAIN)).json()["state"] == "up"


async def test_who_waits_is_told_when_the_last_client_has_gone() -> None:
    async with pool(BUSY) as port, asyncio.TaskGroup() as group:
        await drain(port)
        asked = group.create_task(ask(port, "GET", f"{DRAIN}?wait=60"))
        await waiting(port, 1)
        await report(port, 1, 1)
        await report(port, 2, 0)
        told = (await asked).json()
        assert (told["state"], told["remaining"]) == ("drained", 0)
        await waiting(port, 0)


async def test_who_waits_is_told_when_the_deadline_is_over() -> None:
    async with pool(BUSY) as port:
        await drain(port, deadline_s=0.3)
        told = (await ask(port, "GET", f"{DRAIN}?wait=60")).json()
        assert (told["state"], told["remaining"], told["deadline_in_s"]) == ("migrating", 3, 0)


async def test_a_seat_that_nobody_uses_holds_a_drain_up_until_it_is_given_back() -> None:
    """Its handler lets it in while it is guaranteed."""
    async with pool(HELLO) as port, asyncio.TaskGroup() as group:
        name = (await seat(port)).json()["session_id"]
        await drain(port)
        asked = group.create_task(ask(port, "GET", f"{DRAIN}?wait=60"))
        await waiting(port, 1)
        told = (await ask(port, "GET", DRAIN)).json()
        assert (told["state"], told["remaining"]) == ("draining", 1)
        await post_json(port, "/handlers/report", REPORT | {"seq": 1, "connections": 0, "closed": [name]})
        told = (await asked).json()
        assert (told["state"], told["remaining"]) == ("drained", 0)


async def test_who_waits_for_a_handler_that_stops_by_itself_waits_for_its_clients() -> None:
    """As after SIGTERM: nobody has ordered a drain."""
    leaves = REPORT | {"leaving": True}
    async with pool(BUSY) as port, asyncio.TaskGroup() as group:
        await post_json(port, "/handlers/report", leaves | {"seq": 1, "connections": 1})
        assert (await ask(port, "GET", "/admin/handlers/WSH1")).json()["state"] == "migrating"
        asked = group.create_task(ask(port, "GET", f"{DRAIN}?wait=60"))
        await waiting(port, 1)
        told = (await ask(port, "GET", DRAIN)).json()
        assert (told["state"], told["remaining"]) == ("migrating", 1)
        await post_json(port, "/handlers/report", leaves | {"seq": 2, "connections": 0})
        told = (await asked).json()
        assert (told["state"], told["remaining"]) == ("drained", 0)


async def test_who_waits_is_told_of_the_report_that_comes_after_the_deadline() -> None:
    now = 0.0
    store = MemoryStore(PoolSettings(), lambda: now)
    pools = Pools(Pool("default", Allocator(store, PoolSettings(), TicketSecrets(SECRET))))
    room = WaitingRoom(1)
    endpoints = HandlersAdminEndpoints(pools, room, clock=lambda: now).endpoints()

    async def somebody_waits() -> bool:
        return len(room) == 1

    async with dispatcher(settings_of(), endpoints) as (made, _), serving(made) as port:
        await store.hello(Hello(HandlerId("WSH1"), 7, "http://h:1", "/ws", 10, connections=3))
        await drain(port, deadline_s=5)
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(ask(port, "GET", f"{DRAIN}?wait=60"))
            await eventually(somebody_waits)
            now = 5.1
            await asyncio.sleep(0.6)
            assert not asked.done()
            await store.report(Report(HandlerId("WSH1"), 7, 1, 0))
            told = (await asked).json()
        assert (told["state"], told["remaining"], told["deadline_in_s"]) == ("drained", 0, 0)


async def test_who_waits_for_less_is_told_how_far_it_has_got() -> None:
    async with pool(BUSY) as port:
        await drain(port)
        for seconds in ("0", "0.1"):
            assert (await ask(port, "GET", f"{DRAIN}?wait={seconds}")).json()["state"] == "migrating"


async def test_who_waits_is_told_when_the_drain_is_taken_back() -> None:
    async with pool(BUSY) as port, asyncio.TaskGroup() as group:
        await drain(port)
        asked = group.create_task(ask(port, "GET", f"{DRAIN}?wait=60"))
        await waiting(port, 1)
        await ask(port, "DELETE", DRAIN)
        assert (await asked).json()["state"] == "up"


async def test_who_hangs_up_waits_no_longer() -> None:
    async with pool(BUSY) as port:
        await drain(port)
        async with wire(port) as client:
            await client.say(request("GET", f"{DRAIN}?wait=600"))
            await waiting(port, 1)
        await waiting(port, 0)


async def test_nobody_keeps_a_gateway_from_stopping_by_waiting() -> None:
    async with running_pool(BUSY) as running, asyncio.TaskGroup() as group:
        await drain(running.port)
        asked = group.create_task(ask(running.port, "GET", f"{DRAIN}?wait=600"))
        await waiting(running.port, 1)
        await running.drain()
        assert (await asked).json()["state"] == "migrating"


@pytest.mark.parametrize("wait", ["601", "-1", "x", "1e2", "1.", "%D9%A5", "nan", "00000001"])
async def test_a_wait_that_is_refused(wait: str) -> None:
    async with pool(BUSY) as port:
        answer = await ask(port, "GET", f"{DRAIN}?wait={wait}")
        assert (answer.status, answer.json()["reason"]) == (400, "bad_parameter")
        assert "wait" in answer.json()["message"]


@pytest.mark.parametrize(
    ("order", "named"),
    [({"deadline_s": 0}, "deadline_s"), ({"deadline_s": None}, "deadline_s"), ({"rate": -1}, "rate")],
)
async def test_an_order_that_is_refused(order: dict[str, Any], named: str) -> None:
    async with pool(BUSY) as port:
        answer = await drain(port, **order)
        assert (answer.status, answer.json()["reason"]) == (400, "bad_parameter")
        assert named in answer.json()["message"]
        assert (await ask(port, "GET", DRAIN)).json()["state"] == "up"


async def test_an_order_without_a_body_is_told_what_belongs_into_it() -> None:
    async with pool(BUSY) as port:
        answer = await ask(port, "POST", DRAIN)
        assert (answer.status, answer.json()["reason"]) == (400, "bad_parameter")
        assert "deadline_s" in answer.json()["message"]


async def test_a_slash_at_the_end_lists_them_too() -> None:
    async with pool(HELLO) as port:
        listed = await ask(port, "GET", "/admin/handlers/")
        assert [handler["id"] for handler in listed.json()["handlers"]] == ["WSH1"]


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/admin/handlers/WSH9", 404, "unknown_handler"),
        ("GET", "/admin/handlers/WSH9/drain", 404, "unknown_handler"),
        ("DELETE", "/admin/handlers/WSH9/drain", 404, "unknown_handler"),
        ("GET", "/admin/handlers/decisions/12345", 404, "unknown_decision"),
        ("GET", "/admin/handlers/WSH1/undrain", 404, "no_route"),
        ("POST", "/admin/handlers/", 404, "no_route"),
        ("POST", "/admin/handlers", 405, "method_not_allowed"),
        ("DELETE", "/admin/handlers/WSH1", 405, "method_not_allowed"),
        ("POST", "/admin/handlers/decisions/1", 405, "method_not_allowed"),
        ("PUT", DRAIN, 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_there(method: str, path: str, status: int, reason: str) -> None:
    async with pool(HELLO) as port:
        answer = await ask(port, method, path)
        assert (answer.status, answer.json()["reason"]) == (status, reason)


async def test_an_unknown_handler_can_not_be_drained() -> None:
    async with pool(HELLO) as port:
        answer = await post_json(port, "/admin/handlers/WSH9/drain", {"deadline_s": 5})
        assert (answer.status, answer.json()["reason"]) == (404, "unknown_handler")


async def test_why_a_client_got_its_handler() -> None:
    async with pool(BUSY, HELLO | {"handler_id": "WSH2"}) as port:
        assert (await seat(port, "X-Exclude-Handler: WSH7")).json()["handler_id"] == "WSH2"
        told = (await ask(port, "GET", "/admin/handlers/decisions/1")).json()
        assert (told["uid"], told["chosen"], told["why"]) == ("ada", "WSH2", "least_loaded")
        assert [(each["handler_id"], each["load"]) for each in told["candidates"]] == [
            ("WSH2", 0),
            ("WSH1", 3),
        ]
        assert told["excluded"] == ["WSH7"]


async def test_a_decision_can_be_shown_whatever_bytes_a_client_has_sent() -> None:
    async with pool(HELLO) as port, wire(port) as client:
        own = f"token: {token()}\r\nX-Last-Handler: \udcff\r\nX-Exclude-Handler: \udcfe\r\n"
        own += "X-Exclude-Handler: WSH7\r\nX-Exclude-Handler: WSH8"
        head = f"GET /get_websocket_handler HTTP/1.1\r\nHost: a\r\n{own}\r\n\r\n"
        await client.say(head.encode(errors="surrogateescape"))
        assert (await client.answer()).status == 200
        told = await ask(port, "GET", "/admin/handlers/decisions/1")
        assert (told.status, told.json()["excluded"], told.json()["last"]) == (200, ["WSH7", "WSH8"], None)


async def test_it_is_for_insiders() -> None:
    internal = {"networks": ["10.0.0.0/8"], "key": KEY}
    registry = {"backend": "embedded", "address": "127.0.0.1:0", "register_as": None}
    async with gateway(registry=registry, handlers={}, internal=internal) as running:
        for path in ("/admin/handlers", "/admin/handlers/WSH1", DRAIN, "/admin/handlers/decisions/1"):
            assert (await ask(running.port, "GET", path)).status == 403
            assert (await ask(running.port, "GET", path, f"X-Internal-Key: {KEY}")).status != 403


class Unreachable(MemoryStore):
    """Every call fails, as with a shared store that is down."""

    def __init__(self) -> None:
        super().__init__(PoolSettings(), lambda: 0.0)

    async def _fails(self, *_: object, **__: object) -> Any:
        raise StoreUnreachable

    states = decision = drain = _fails


async def test_without_the_store_nothing_is_known() -> None:
    pools = Pools(Pool("default", Allocator(Unreachable(), PoolSettings(), TicketSecrets(SECRET))))
    endpoints = HandlersAdminEndpoints(pools, WaitingRoom(1)).endpoints()
    async with dispatcher(settings_of(), endpoints) as (made, _), serving(made) as port:
        for path in ("/admin/handlers", "/admin/handlers/WSH1", DRAIN, "/admin/handlers/decisions/1"):
            answer = await ask(port, "GET", path)
            assert (answer.status, answer.json()["reason"]) == (503, "allocation_unavailable")
            assert "can't be shown" in answer.json()["message"]


class Forgetful(MemoryStore):
    """Loses its handlers when told to."""

    forgets = False

    async def states(self) -> Any:
        return () if self.forgets else await super().states()


async def test_a_handler_that_goes_while_somebody_waits_has_drained() -> None:
    store = Forgetful(PoolSettings(), lambda: 0.0)
    allocator = Allocator(store, PoolSettings(), TicketSecrets(SECRET))
    room = WaitingRoom(1)
    endpoints = HandlersAdminEndpoints(Pools(Pool("default", allocator)), room).endpoints()

    async def somebody_waits() -> bool:
        return len(room) == 1

    async with dispatcher(settings_of(), endpoints) as (made, _), serving(made) as port:
        await store.hello(Hello(HandlerId("WSH1"), 7, "http://h:1", "/ws", 10, connections=3))
        await drain(port)
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(ask(port, "GET", f"{DRAIN}?wait=60"))
            await eventually(somebody_waits)
            store.forgets = True
            told = (await asked).json()
        assert (told["handler_id"], told["state"], told["remaining"]) == ("WSH1", "drained", 0)
