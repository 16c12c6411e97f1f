"""`/get_websocket_handler` as chat clients ask it, and what handler processes tell the gateway."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.runtime.endpoints.endpoint import MAX_MESSAGE, Endpoint
from gateway.runtime.endpoints.seats import SeatEndpoints
from gateway.runtime.exchange import Exchange
from gateway.runtime.metrics import Metrics
from gateway.runtime.reply import Reply
from handlers.model import HandlerId, Hello, PoolSettings
from handlers.runtime.allocator import Allocator
from handlers.stores.base import StoreUnreachable
from handlers.stores.memory import MemoryStore
from handlers.ticket import TicketSecrets
from tests.gateway.runtime.dispatchers import dispatcher
from tests.gateway.runtime.gateways import (
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

HELLO: dict[str, Any] = {"handler_id": "WSH1", "epoch": 7, "url": "http://localhost:8001", "capacity": 10}
REPORT: dict[str, Any] = {"handler_id": "WSH1", "epoch": 7, "seq": 1, "connections": 0}


@asynccontextmanager
async def pool(*hellos: dict[str, Any], **handlers: Any) -> AsyncIterator[int]:
    """A gateway with a pool that only these handlers are in; yields its port."""
    registry = {"backend": "embedded", "address": "127.0.0.1:0", "register_as": None}
    settings = {"registry": registry, "handlers": {"dead_after_s": 30, **handlers}}
    async with gateway(**settings) as running:
        for hello in hellos:
            assert (await post_json(running.port, "/handlers/register", hello)).status == 200
        yield running.port


async def seat(port: int, *headers: str, uid: str = "ada") -> RawAnswer:
    return await ask(port, "GET", "/get_websocket_handler", f"token: {token(uid)}", f"uid: {uid}", *headers)


async def held(port: int) -> dict[str, int]:
    detailed = (await ask(port, "GET", "/health/detailed")).json()
    return {handler["id"]: handler["held"] for handler in detailed["handlers"]}


async def test_a_handler_learns_the_key_of_tickets_from_before_a_change_of_secret() -> None:
    old, new = "the secret of the tickets that are out", "the secret of those from now on, as long"
    async with pool(secret=old) as port:
        before = (await post_json(port, "/handlers/register", HELLO)).json()
        assert before["previous"] == []
    async with pool(secret=new, previous_secret=old) as port:
        after = (await post_json(port, "/handlers/register", HELLO)).json()
    assert after["previous"] == [before["ticket"]]
    assert after["ticket"]["kid"] != before["ticket"]["kid"]


# Clients


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


async def test_the_seat_of_a_client_that_hangs_up_before_its_answer_is_given_back() -> None:
    store = MemoryStore(PoolSettings(), lambda: 0.0)
    await store.hello(Hello(HandlerId("WSH1"), 7, "http://localhost:8001", "/ws", 10))
    metrics = Metrics("test")
    seats = SeatEndpoints(Allocator(store, PoolSettings(), TicketSecrets(SECRET)), metrics)
    reserved = asyncio.Event()

    async def answers_late(exchange: Exchange) -> Reply | GatewayError:
        reply = await seats.allocate(exchange)
        reserved.set()
        await asyncio.Event().wait()
        return reply

    async def held_seats() -> int:
        return sum(state.held for state in await store.states())

    async def is_given_back() -> bool:
        return await held_seats() == 0

    late = Endpoint("/get_websocket_handler", ("GET",), "user", answers_late)
    async with dispatcher(settings_of(), [late], metrics=metrics) as (made, _), serving(made) as port:
        async with wire(port) as client:
            await client.say(request("GET", late.path, f"token: {token()}"))
            await reserved.wait()
            assert await held_seats() == 1
        await eventually(is_given_back)


class Unreachable(MemoryStore):
    """Every call fails, as with a shared store that is down."""

    def __init__(self) -> None:
        super().__init__(PoolSettings(), lambda: 0.0)

    async def _fails(self, *_: object, **__: object) -> Any:
        raise StoreUnreachable

    alloc = hello = report = admit_late = locate = states = cancel = _fails


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/get_websocket_handler", None),
        ("GET", "/handlers/locate?uid=ada", None),
        ("POST", "/handlers/register", HELLO),
        ("POST", "/handlers/report", REPORT),
        ("POST", "/handlers/admit", {"handler_id": "WSH1", "epoch": 7, "jti": "j"}),
    ],
)
async def test_a_store_that_is_down_is_a_503_everywhere(
    method: str, target: str, body: dict[str, Any] | None
) -> None:
    allocator = Allocator(Unreachable(), PoolSettings(), TicketSecrets(SECRET))
    metrics = Metrics("test")
    endpoints = SeatEndpoints(allocator, metrics).endpoints()
    async with dispatcher(settings_of(), endpoints, metrics=metrics) as (made, _), serving(made) as port:
        if body is None:
            answer = await ask(port, method, target, f"token: {token()}")
        else:
            answer = await post_json(port, target, body)
        assert (answer.status, answer.json()["reason"]) == (503, "allocation_unavailable")
        assert int(answer.one("Retry-After")) >= 1


# Handler processes


async def test_a_hello_is_answered_with_the_ticket_key_and_the_intervals() -> None:
    async with pool() as port:
        answer = await post_json(port, "/handlers/register", HELLO)
        told = answer.json()
        assert answer.status == 200
        assert set(told) >= {"ticket", "previous", "report_s", "dead_after_s", "reconnect", "pool"}
        assert set(told["ticket"]) >= {"kid", "key", "algorithm", "audience"}


async def test_a_report_confirms_a_seat_and_counts_connections() -> None:
    async with pool(HELLO) as port:
        jti = (await seat(port)).json()["session_id"]
        confirmed = REPORT | {"connections": 1, "confirmed": [jti]}
        told = await post_json(port, "/handlers/report", confirmed)
        assert (told.status, told.json()["draining"]) == (200, False)
        (handler,) = (await ask(port, "GET", "/health/detailed")).json()["handlers"]
        assert (handler["connections"], handler["held"]) == (1, 0)


async def test_a_report_of_nobody_we_know_asks_for_a_new_hello() -> None:
    async with pool() as port:
        answer = await post_json(port, "/handlers/report", REPORT)
        assert (answer.status, answer.json()["reason"]) == (404, "unknown_handler")


@pytest.mark.parametrize("path", ["/handlers/report", "/handlers/register"])
async def test_an_earlier_process_of_the_same_id_is_told_to_stop(path: str) -> None:
    async with pool(HELLO) as port:
        message = (HELLO if path == "/handlers/register" else REPORT) | {"epoch": 6}
        answer = await post_json(port, path, message)
        assert (answer.status, answer.json()["reason"]) == (409, "stale_epoch")


async def test_a_late_ticket_is_admitted_while_there_is_room() -> None:
    async with pool(HELLO | {"capacity": 1}) as port:
        ticket = {"handler_id": "WSH1", "epoch": 7, "jti": "a-late-one"}
        assert (await post_json(port, "/handlers/admit", ticket)).json() == {"admit": True}
        other = ticket | {"jti": "another-late-one"}
        assert (await post_json(port, "/handlers/admit", other)).json() == {"admit": False}
        assert (await post_json(port, "/handlers/admit", ticket | {"epoch": 6})).json() == {"admit": False}


async def test_where_a_user_sits_is_known_from_the_reservation_on() -> None:
    async with pool(HELLO) as port:
        unknown = await ask(port, "GET", "/handlers/locate?uid=ada")
        assert (unknown.status, unknown.json()["reason"]) == (404, "unknown_user")
        jti = (await seat(port)).json()["session_id"]
        await post_json(port, "/handlers/report", REPORT | {"connections": 1, "confirmed": [jti]})
        assert (await ask(port, "GET", "/handlers/locate?uid=ada")).json() == {
            "uid": "ada",
            "handler_id": "WSH1",
            "url": "http://localhost:8001",
            "connected": True,
        }
        missing = await ask(port, "GET", "/handlers/locate")
        assert (missing.status, missing.json()["reason"]) == (400, "missing_parameter")


PATHS = {"/handlers/register": HELLO, "/handlers/report": REPORT}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{'handler_id': 1}", b'{"handler_id": "WSH1"', b"\xff\xfe", b"{} {}", b"[" * 3000],
)
async def test_what_is_no_json_is_called_so(path: str, body: bytes) -> None:
    async with pool() as port:
        answer = await post_json(port, path, body)
        assert (answer.status, answer.json()["reason"]) == (400, "bad_json"), answer


@pytest.mark.parametrize(
    ("path", "change", "named"),
    [
        ("/handlers/register", {"capacity": "ten"}, ["capacity"]),
        ("/handlers/register", {"capacity": 0, "epoch": "7"}, ["capacity", "epoch"]),
        ("/handlers/register", {"url": None}, ["url"]),
        ("/handlers/register", {"url": "javascript:alert(1)"}, ["url"]),
        ("/handlers/register", {"path": "no-slash"}, ["path"]),
        ("/handlers/register", {"known": [1]}, ["known"]),
        ("/handlers/report", {"connections": -1, "seq": 1.5}, ["connections", "seq"]),
        ("/handlers/report", {"confirmed": "j1"}, ["confirmed"]),
    ],
)
async def test_every_field_that_is_wrong_is_named_and_no_value_repeated(
    path: str, change: dict[str, Any], named: list[str]
) -> None:
    async with pool() as port:
        answer = await post_json(port, path, PATHS[path] | change)
        assert (answer.status, answer.json()["reason"]) == (400, "bad_parameter"), answer
        assert all(name in answer.json()["message"] for name in named), answer
        assert "javascript" not in answer.body.decode()


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"null", b"1"])
async def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    async with pool() as port:
        answer = await post_json(port, "/handlers/report", body)
        assert (answer.status, answer.json()["error"]) == (400, "bad_request"), answer


@pytest.mark.parametrize(("path", "field"), [(path, field) for path in PATHS for field in PATHS[path]])
async def test_a_missing_field_is_named(path: str, field: str) -> None:
    async with pool() as port:
        body = {key: value for key, value in PATHS[path].items() if key != field}
        answer = await post_json(port, path, body)
        assert (answer.status, answer.json()["reason"]) == (400, "bad_parameter")
        assert f"{field}: Field required" in answer.json()["message"]


async def test_a_message_that_is_too_long_is_not_read() -> None:
    async with pool() as port, wire(port) as client:
        await client.say(request("POST", "/handlers/report", f"Content-Length: {MAX_MESSAGE + 1}"))
        assert (await client.answer()).status == 413


async def test_a_chunked_message_that_is_too_long_is_read_to_the_limit_only() -> None:
    async with pool() as port, wire(port) as client:
        await client.say(request("POST", "/handlers/report", "Transfer-Encoding: chunked"))
        piece = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
        await client.say(*(piece for _ in range(MAX_MESSAGE // 0x8000 + 1)))
        assert (await client.answer()).status == 413
