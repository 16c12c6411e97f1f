"""`/get_websocket_handler` as chat clients ask it."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.runtime.endpoints.endpoint import Endpoint
from gateway.runtime.endpoints.pools import Pool, Pools
from gateway.runtime.endpoints.seats import SeatEndpoint
from gateway.runtime.exchange import Exchange
from gateway.runtime.metrics import Metrics
from gateway.runtime.reply import Reply
from gateway.runtime.waiting_room import WaitingRoom
from handlers.model import HandlerId, Hello, PoolSettings
from handlers.runtime.allocator import Allocator
from handlers.stores.memory import MemoryStore
from handlers.ticket import TicketSecrets
from tests.gateway.runtime.dispatchers import dispatcher
from tests.gateway.runtime.gateways import (
    SECRET,
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
from tests.gateway.runtime.handler_pools import HELLO, held, pool, running_pool, seat, two_pools, waiting
from tests.gateway.runtime.scrapes import scrape


async def test_the_answer_begins_with_the_two_fields_of_the_chat_gateway() -> None:
    async with pool(HELLO) as port:
        answer = await seat(port)
        assert answer.status == 200, answer
        assert answer.body.startswith(
            b'{"websocket_handler_url":"http://localhost:8001","handler_id":"WSH1",'
        )
        assert answer.json()["websocket_url"] == "ws://localhost:8001/ws"
        assert answer.one("Cache-Control") == "no-store"
        assert await held(port) == {"WSH1": 1}


@pytest.mark.parametrize("last", ["HTTP/1.0", "HTTP/1.1\r\nConnection: close"])
async def test_a_seat_stands_also_when_its_connection_ends_with_the_answer(last: str) -> None:
    async with pool(HELLO) as port, wire(port) as client:
        await client.say(f"GET /get_websocket_handler {last}\r\nHost: a\r\ntoken: {token()}\r\n\r\n")
        assert (await client.answer()).status == 200
        assert await client.rest() == b""
        assert await held(port) == {"WSH1": 1}


async def test_a_bearer_token_does_as_well() -> None:
    async with pool(HELLO) as port:
        answer = await ask(port, "GET", "/get_websocket_handler", f"Authorization: Bearer {token()}")
        assert answer.status == 200


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ([], 401, "missing_token"),
        (["token: nonsense"], 401, "invalid_token"),
        ([f"token: {token(secret='another secret, of whoever would like one')}"], 401, "invalid_token"),
        ([f"token: {token(lifetime_s=-3600)}"], 401, "expired_token"),
        ([f"token: {token('ada')}", "uid: bob"], 403, "uid_mismatch"),
        ([f"token: {token('ada')}", "uid: ada", "uid: bob"], 403, "uid_mismatch"),
        ([f"token: {token('ada')}", f"Authorization: Bearer {token('bob')}"], 400, "bad_request"),
    ],
)
async def test_who_can_not_say_who_they_are_gets_no_seat(
    headers: list[str], status: int, reason: str
) -> None:
    async with pool(HELLO) as port:
        answer = await ask(port, "GET", "/get_websocket_handler", *headers)
        assert (answer.status, answer.json()["reason"]) == (status, reason)
        assert bool(answer.all("WWW-Authenticate")) is (status == 401)
        assert await held(port) == {"WSH1": 0}


async def test_a_uid_in_the_query_must_be_the_tokens_user_too() -> None:
    async with pool(HELLO) as port:
        answer = await ask(port, "GET", "/get_websocket_handler?%75id=bob", f"token: {token('ada')}")
        assert (answer.status, answer.json()["error"]) == (403, "uid_mismatch")


async def test_seats_spread_over_the_least_loaded() -> None:
    three = [HELLO | {"handler_id": f"WSH{n}", "url": f"http://localhost:800{n}"} for n in (1, 2, 3)]
    async with pool(*three) as port:
        answers = await asyncio.gather(*(seat(port, uid=f"user-{n}") for n in range(9)))
        assert Counter(answer.json()["handler_id"] for answer in answers) == dict.fromkeys(
            ("WSH1", "WSH2", "WSH3"), 3
        )


async def test_no_handler_and_no_room_are_two_answers() -> None:
    async with pool() as port:
        nobody = await seat(port)
        assert (nobody.status, nobody.json()["error"]) == (503, "no_handlers")
        assert nobody.json()["reason"] == "no_handlers"
        assert int(nobody.one("Retry-After")) >= 1

        await post_json(port, "/handlers/register", HELLO | {"capacity": 1})
        assert (await seat(port, uid="ada")).status == 200
        full = await seat(port, uid="bob")
        assert (full.status, full.json()["error"], full.json()["reason"]) == (
            503,
            "no_capacity",
            "no_capacity",
        )
        assert int(full.one("Retry-After")) >= 1


async def test_a_handler_that_is_silent_for_too_long_is_not_handed_out() -> None:
    async with pool(HELLO, dead_after_s=0.2) as port:

        async def is_silent() -> bool:
            (handler,) = (await ask(port, "GET", "/health/detailed")).json()["handlers"]
            return bool(handler["why_not"] == "silent")

        await eventually(is_silent)
        refused = await seat(port)
        assert (refused.status, refused.json()["error"]) == (503, "no_handlers")


async def test_a_user_who_holds_as_many_seats_as_one_may_waits() -> None:
    async with pool(HELLO, seats_per_user=2) as port:
        assert [(await seat(port)).status for _ in range(2)] == [200, 200]
        refused = await seat(port)
        assert (refused.status, refused.json()["error"]) == (429, "rate_limited")
        assert int(refused.one("Retry-After")) >= 1
        assert (await seat(port, uid="bob")).status == 200


async def test_a_handler_that_is_only_registered_works_by_reservations_alone() -> None:
    """No hello, no report: the registry's word is all there is of it."""
    services = {
        "auth": {"instances": ["http://127.0.0.1:9"]},
        "websocket-handler": {"instances": ["http://127.0.0.1:8007"]},
    }
    async with gateway(services=services, handlers={"capacity": 1}) as running:
        answer = await seat(running.port)
        assert answer.json()["websocket_handler_url"] == "http://127.0.0.1:8007"
        assert (await seat(running.port, uid="bob")).json()["error"] == "no_capacity"


async def test_a_repeat_with_the_same_client_id_gets_the_same_seat() -> None:
    async with pool(HELLO) as port:
        first, again, other = [
            (await seat(port, f"X-Client-Id: {name}")).json() for name in ("tab-1", "tab-1", "tab-2")
        ]
        assert first["session_id"] == again["session_id"] != other["session_id"]
        assert await held(port) == {"WSH1": 2}


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129])
async def test_a_client_id_that_is_none_is_refused(bad: str) -> None:
    async with pool(HELLO) as port:
        answer = await seat(port, f"X-Client-Id: {bad}")
        assert (answer.status, answer.json()["reason"]) == (400, "bad_parameter")
        assert "X-Client-Id" in answer.json()["message"]


async def test_a_client_may_rule_out_handlers() -> None:
    async with pool(HELLO, HELLO | {"handler_id": "WSH2"}) as port:
        chosen = [(await seat(port, "X-Exclude-Handler: WSH9, WSH1")).json() for _ in range(3)]
        assert {each["handler_id"] for each in chosen} == {"WSH2"}


@pytest.mark.parametrize("method", ["POST", "DELETE", "HEAD"])
async def test_a_seat_is_asked_for_with_get(method: str) -> None:
    async with pool(HELLO) as port:
        answer = await ask(port, method, "/get_websocket_handler", f"token: {token()}", body=b"{}")
        assert (answer.status, answer.one("Allow")) == (405, "GET")


async def test_seats_count_against_the_callers_limit() -> None:
    async with gateway(
        registry={"backend": "embedded", "address": "127.0.0.1:0", "register_as": None},
        handlers={},
        limits={"per_user": 1},
    ) as running:
        assert (await seat(running.port)).status == 503
        limited = await seat(running.port)
        assert (limited.status, limited.one("X-RateLimit-Remaining")) == (429, "0")


class Seats:
    """The endpoint on a memory store with one handler, without its gateway."""

    def __init__(self, places: int = 10, capacity: int = 10) -> None:
        self.store = MemoryStore(PoolSettings(), lambda: 0.0)
        self.metrics = Metrics("test")
        allocator = Allocator(self.store, PoolSettings(), TicketSecrets(SECRET))
        self.endpoint = SeatEndpoint(Pools(Pool("default", allocator)), self.metrics, WaitingRoom(places))
        self.hello = Hello(HandlerId("WSH1"), 7, "http://localhost:8001", "/ws", capacity)

    async def held(self) -> int:
        return sum(state.held for state in await self.store.states())


async def test_the_seat_of_a_client_that_hangs_up_before_its_answer_is_given_back() -> None:
    seats = Seats()
    await seats.store.hello(seats.hello)
    reserved = asyncio.Event()

    async def answers_late(exchange: Exchange) -> Reply | GatewayError:
        reply = await seats.endpoint.answer(exchange)
        reserved.set()
        await asyncio.Event().wait()
        return reply

    async def is_given_back() -> bool:
        return await seats.held() == 0

    late = Endpoint("/get_websocket_handler", ("GET",), "user", answers_late)
    async with dispatcher(settings_of(), [late], metrics=seats.metrics) as (made, _), serving(made) as port:
        async with wire(port) as client:
            await client.say(request("GET", late.path, f"token: {token()}"))
            await reserved.wait()
            assert await seats.held() == 1
        await eventually(is_given_back)


# Sessions


async def test_a_client_may_go_on_with_its_session() -> None:
    async with pool(HELLO) as port:
        first = (await seat(port)).json()["session_id"]
        assert (await seat(port, f"X-Session-Id: {first}")).json()["session_id"] == first


@pytest.mark.parametrize("bad", ["", "A" * 32, "0" * 31, "0" * 33, "../etc/passwd", "0" * 31 + "é"])
async def test_a_session_that_we_never_began_is_refused(bad: str) -> None:
    async with pool(HELLO) as port:
        answer = await seat(port, f"X-Session-Id: {bad}")
        assert (answer.status, answer.json()["reason"]) == (400, "bad_parameter")
        assert "X-Session-Id" in answer.json()["message"]


# Pools


async def test_a_pool_is_asked_for_by_its_name() -> None:
    async with two_pools() as port:
        for name in ("chat", "feed"):
            answer = await seat(port, path=f"/get_websocket_handler?pool={name}")
            assert answer.json()["handler_id"] == f"{name}-1"


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("", 400, "missing_parameter"),
        ("?pool=", 404, "unknown_pool"),
        ("?pool=news", 404, "unknown_pool"),
        ("?pool=%3Cscript%3E", 404, "unknown_pool"),
    ],
)
async def test_one_of_several_pools_must_be_named(query: str, status: int, reason: str) -> None:
    async with two_pools() as port:
        answer = await seat(port, path=f"/get_websocket_handler{query}")
        assert (answer.status, answer.json()["reason"]) == (status, reason)
        assert "script" not in answer.body.decode()
        assert ("chat, feed" in answer.json()["message"]) is (status == 400)


async def test_the_only_pool_need_not_be_named_and_may_be() -> None:
    async with pool(HELLO) as port:
        assert (await seat(port, path="/get_websocket_handler?pool=default")).status == 200


# Come back


HERD: dict[str, Any] = {"joins_per_s": 5, "joins_burst": 1}


async def test_who_comes_in_a_herd_gets_an_appointment_that_is_kept() -> None:
    async with pool(HELLO, **HERD) as port:
        assert (await seat(port, uid="ada")).status == 200
        refused = await seat(port, uid="bob")
        body = refused.json()
        assert (refused.status, body["error"], body["reason"]) == (503, "come_back", "come_back")
        assert int(refused.one("Retry-After")) >= 1
        assert isinstance(body["retry_at_ms"], int)

        async def is_let_in() -> bool:
            return (await seat(port, f"X-Queue-Token: {body['queue_token']}", uid="bob")).status == 200

        await eventually(is_let_in)


async def test_a_token_of_somebody_else_is_no_appointment() -> None:
    async with pool(HELLO, **HERD) as port:
        assert (await seat(port, uid="ada")).status == 200
        mine = (await seat(port, uid="bob")).json()
        theirs = (await seat(port, f"X-Queue-Token: {mine['queue_token']}", uid="eve")).json()
        assert theirs["retry_at_ms"] > mine["retry_at_ms"]


# Waiting


async def test_who_may_wait_is_held_until_a_handler_comes() -> None:
    async with running_pool() as running, asyncio.TaskGroup() as group:
        asked = group.create_task(seat(running.port, "Prefer: wait=10"))
        await waiting(running.port, 1)
        assert (await post_json(running.port, "/handlers/register", HELLO)).status == 200
        answer = await asked
        assert (answer.status, answer.one("Preference-Applied")) == (200, "wait=10")
        await waiting(running.port, 0)


async def test_who_may_wait_is_held_until_a_seat_is_free() -> None:
    async with pool(HELLO | {"capacity": 1}) as port, asyncio.TaskGroup() as group:
        jti = (await seat(port, uid="ada")).json()["session_id"]
        asked = group.create_task(seat(port, "Prefer: wait=10", uid="bob"))
        await waiting(port, 1)
        gone = {"handler_id": "WSH1", "epoch": 7, "seq": 1, "connections": 0, "closed": [jti]}
        assert (await post_json(port, "/handlers/report", gone)).status == 200
        assert (await asked).status == 200


async def test_who_may_wait_is_held_until_the_appointment() -> None:
    async with pool(HELLO, **HERD) as port:
        given = await asyncio.gather(*(seat(port, "Prefer: wait=10", uid=f"user-{n}") for n in range(4)))
        assert Counter(answer.status for answer in given) == {200: 4}


async def test_who_would_wait_for_too_little_is_told_at_once_when_to_come_back() -> None:
    async with pool(HELLO, joins_per_s=0.05, joins_burst=1) as port:
        assert (await seat(port, uid="ada")).status == 200
        refused = await seat(port, "Prefer: wait=5", uid="bob")
        assert (refused.status, refused.json()["error"]) == (503, "come_back")
        assert refused.one("Preference-Applied") == "wait=5"
        assert refused.json()["queue_token"]


async def test_who_is_refused_for_good_does_not_wait() -> None:
    async with pool(HELLO, seats_per_user=1) as port:
        assert (await seat(port)).status == 200
        assert (await seat(port, "Prefer: wait=10")).status == 429


async def test_who_hangs_up_waits_no_longer() -> None:
    async with running_pool() as running:
        async with wire(running.port) as client:
            await client.say(request("GET", "/get_websocket_handler", f"token: {token()}", "Prefer: wait=10"))
            await waiting(running.port, 1)
        await waiting(running.port, 0)


async def test_nobody_keeps_a_gateway_from_stopping_by_waiting() -> None:
    async with running_pool() as running, asyncio.TaskGroup() as group:
        asked = group.create_task(seat(running.port, "Prefer: wait=10"))
        await waiting(running.port, 1)
        await running.drain()
        assert (await asked).json()["error"] == "no_handlers"


async def test_while_too_many_wait_others_are_answered_at_once() -> None:
    seats = Seats(places=0)
    endpoints = seats.endpoint.endpoints()
    async with dispatcher(settings_of(), endpoints) as (made, _), serving(made) as port:
        answer = await seat(port, "Prefer: wait=10")
        assert (answer.status, answer.all("Preference-Applied")) == (503, [])


# What is counted


async def test_what_was_answered_and_what_became_of_it_is_counted() -> None:
    async with pool(HELLO | {"capacity": 1}) as port:
        jti = (await seat(port)).json()["session_id"]
        await seat(port, uid="bob")
        report = {"handler_id": "WSH1", "epoch": 7, "seq": 1, "connections": 1, "confirmed": [jti]}
        await post_json(port, "/handlers/report", report)
        found = await scrape(port)
        counted = {
            result: found[f'quaymaster_seats_total{{pool="default",result="{result}"}}']
            for result in ("reserved", "no_capacity", "confirmed", "expired", "cancelled")
        }
        assert counted == {"reserved": 1, "no_capacity": 1, "confirmed": 1, "expired": 0, "cancelled": 0}
        assert found['quaymaster_seat_decision_seconds_count{pool="default"}'] == 2
        assert found['quaymaster_allocator_mode{mode="exact",pool="default"}'] == 1
        assert found['quaymaster_allocator_mode{mode="degraded",pool="default"}'] == 0


async def test_the_log_tells_which_decision_a_seat_was() -> None:
    store = MemoryStore(PoolSettings(), lambda: 0.0)
    pools = Pools(Pool("default", Allocator(store, PoolSettings(), TicketSecrets(SECRET))))
    endpoints = SeatEndpoint(pools, Metrics("1"), WaitingRoom(1)).endpoints()
    await store.hello(Hello(HandlerId("WSH1"), 7, "http://h:1", "/ws", 10))
    async with dispatcher(settings_of(), endpoints) as (made, logged), serving(made) as port:
        assert (await seat(port)).status == 200

        async def is_logged() -> bool:
            return b'"decision":1' in logged.getvalue()

        await eventually(is_logged)
