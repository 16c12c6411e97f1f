"""What handler processes tell the gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.runtime.endpoints.endpoint import MAX_MESSAGE
from gateway.runtime.endpoints.handler_processes import HandlerProcessEndpoints
from gateway.runtime.endpoints.pools import Pool, Pools
from gateway.runtime.endpoints.seats import SeatEndpoint
from gateway.runtime.metrics import Metrics
from gateway.runtime.waiting_room import WaitingRoom
from handlers.model import PoolSettings
from handlers.runtime.allocator import Allocator
from handlers.stores.base import StoreUnreachable
from handlers.stores.memory import MemoryStore
from handlers.ticket import TicketSecrets
from tests.gateway.runtime.dispatchers import dispatcher
from tests.gateway.runtime.gateways import SECRET, ask, post_json, request, serving, settings_of, wire
from tests.gateway.runtime.handler_pools import HELLO, REPORT, held, pool, seat, two_pools


async def test_a_handler_learns_the_key_of_tickets_from_before_a_change_of_secret() -> None:
    old, new = "the secret of the tickets that are out", "the secret of those from now on, as long"
    async with pool(secret=old) as port:
        before = (await post_json(port, "/handlers/register", HELLO)).json()
        assert before["previous"] == []
    async with pool(secret=new, previous_secret=old) as port:
        after = (await post_json(port, "/handlers/register", HELLO)).json()
    assert after["previous"] == [before["ticket"]]
    assert after["ticket"]["kid"] != before["ticket"]["kid"]


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
        place = {
            "pool": "default",
            "handler_id": "WSH1",
            "url": "http://localhost:8001",
            "connected": True,
        }
        located = (await ask(port, "GET", "/handlers/locate?uid=ada")).json()
        assert located == {"uid": "ada", **place, "seats": [place]}
        missing = await ask(port, "GET", "/handlers/locate")
        assert (missing.status, missing.json()["reason"]) == (400, "missing_parameter")


PATHS = {"/handlers/register": HELLO, "/handlers/report": REPORT}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [b"{", b"{'handler_id': 1}", b'{"handler_id": "WSH1"', b"\xff\xfe", b"{} {}", b"[" * 3000],
)
async def test_what_is_no_json_is_called_so(path: str, body: bytes) -> None:
    async with pool() as port:
        answer = await post_json(port, path, body)
        assert (answer.status, answer.json()["reason"]) == (400, "bad_json"), answer


@pytest.mark.parametrize("path", PATHS)
async def test_an_empty_body_is_told_what_belongs_into_it(path: str) -> None:
    async with pool() as port:
        answer = await post_json(port, path, b"")
        assert (answer.status, answer.json()["reason"]) == (400, "bad_parameter"), answer
        assert "handler_id" in answer.json()["message"]


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


# Pools


async def test_a_handler_process_names_its_pool() -> None:
    async with two_pools() as port:
        for path, message in (("/handlers/register", HELLO), ("/handlers/report", REPORT)):
            missing = await post_json(port, path, message)
            assert (missing.status, missing.json()["reason"]) == (400, "missing_parameter")
            unknown = await post_json(port, path, message | {"pool": "news"})
            assert (unknown.status, unknown.json()["reason"]) == (404, "unknown_pool")
        late = {"handler_id": "feed-1", "epoch": 7, "jti": "late", "pool": "feed"}
        assert (await post_json(port, "/handlers/admit", late)).json() == {"admit": True}
        assert (await post_json(port, "/handlers/admit", late | {"pool": "chat"})).json() == {"admit": False}


async def test_a_user_is_found_in_any_pool_first_where_they_are_connected() -> None:
    async with two_pools() as port:
        for name in ("chat", "feed"):
            given = (await seat(port, path=f"/get_websocket_handler?pool={name}")).json()
        report = REPORT | {"pool": "feed", "handler_id": "feed-1", "connections": 1}
        await post_json(port, "/handlers/report", report | {"confirmed": [given["session_id"]]})
        located = (await ask(port, "GET", "/handlers/locate?uid=ada")).json()
        assert (located["pool"], located["connected"]) == ("feed", True)
        assert [each["pool"] for each in located["seats"]] == ["chat", "feed"]
        in_chat = (await ask(port, "GET", "/handlers/locate?uid=ada&pool=chat")).json()
        assert (in_chat["handler_id"], in_chat["connected"]) == ("chat-1", False)
        nowhere = await ask(port, "GET", "/handlers/locate?uid=ada&pool=news")
        assert (nowhere.status, nowhere.json()["reason"]) == (404, "unknown_pool")


# Drains and moves

OTHER = HELLO | {"handler_id": "WSH2", "url": "http://localhost:8002"}


async def connected(port: int) -> str:
    """The session of a client that has connected to its handler."""
    session = str((await seat(port, "X-Exclude-Handler: WSH2")).json()["session_id"])
    await post_json(port, "/handlers/report", REPORT | {"connections": 1, "confirmed": [session]})
    return session


async def drained(port: int) -> None:
    answer = await post_json(port, "/admin/handlers/WSH1/drain", {"deadline_s": 60, "rate": 5})
    assert answer.status == 200


async def test_a_draining_handler_is_told_until_when() -> None:
    async with pool(HELLO, OTHER) as port:
        await drained(port)
        told = (await post_json(port, "/handlers/report", REPORT | {"seq": 2})).json()
        assert told["draining"] is True
        assert 0 < told["drain"]["deadline_s"] <= 60
        assert told["drain"]["rate"] == 5


async def test_clients_of_a_draining_handler_get_seats_elsewhere() -> None:
    async with pool(HELLO, OTHER) as port:
        session = await connected(port)
        await drained(port)
        move = [{"uid": "ada", "session_id": session}]
        told = (await post_json(port, "/handlers/report", REPORT | {"seq": 2, "move": move})).json()
        (migration,) = told["migrate"]
        assert (migration["session_id"], migration["handler_id"]) == (session, "WSH2")
        assert migration["url"] == "ws://localhost:8002/ws"
        assert migration["ticket"].count(".") == 2


async def test_a_client_that_can_not_be_read_does_not_keep_the_others_from_moving() -> None:
    async with pool(HELLO, OTHER) as port:
        session = await connected(port)
        await drained(port)
        move = [{"uid": "x" * 256, "session_id": session}, {"uid": "ada", "session_id": session}]
        with capture_logs() as logs:
            for seq in (2, 3):
                told = await post_json(port, "/handlers/report", REPORT | {"seq": seq, "move": move})
                assert told.status == 200
                assert [each["handler_id"] for each in told.json()["migrate"]] == ["WSH2"]
        (said,) = [line for line in logs if line["event"] == "moves_unread"]
        assert (said["handler"], said["count"]) == ("WSH1", 1)


async def test_who_is_reached_by_a_tunnel_moves_through_it() -> None:
    tunnel = {"expose": "tunnel", "public_url": "https://chat.example.org"}
    async with pool(HELLO, OTHER, **tunnel) as port:
        move = [{"uid": "ada", "session_id": await connected(port)}]
        await drained(port)
        told = (await post_json(port, "/handlers/report", REPORT | {"seq": 2, "move": move})).json()
        assert told["migrate"][0]["url"] == "wss://chat.example.org/ws/WSH2"


async def test_who_can_not_be_told_where_to_go_gets_no_seat_there() -> None:
    """By which name clients reach the gateways is not for a handler, or another client, to say."""
    async with pool(HELLO, OTHER, expose="tunnel") as port:
        move = [{"uid": "ada", "session_id": await connected(port)}]
        await drained(port)
        told = (await post_json(port, "/handlers/report", REPORT | {"seq": 2, "move": move})).json()
        assert "migrate" not in told
        assert (await held(port))["WSH2"] == 0


# The store is down


class Unreachable(MemoryStore):
    """Every call fails, as with a shared store that is down."""

    def __init__(self) -> None:
        super().__init__(PoolSettings(), lambda: 0.0)

    async def _fails(self, *_: object, **__: object) -> Any:
        raise StoreUnreachable

    alloc = hello = report = admit_late = locate = states = cancel = _fails


@asynccontextmanager
async def cut_off() -> AsyncIterator[int]:
    """The endpoints of a pool whose store is down; yields their port."""
    pools = Pools(Pool("default", Allocator(Unreachable(), PoolSettings(), TicketSecrets(SECRET))))
    metrics = Metrics("test")
    endpoints = [
        *HandlerProcessEndpoints(pools).endpoints(),
        *SeatEndpoint(pools, metrics, WaitingRoom(1)).endpoints(),
    ]
    async with dispatcher(settings_of(), endpoints, metrics=metrics) as (made, _), serving(made) as port:
        yield port


async def test_what_needs_the_store_is_unavailable_without_it() -> None:
    async with cut_off() as port:
        assert (await post_json(port, "/handlers/register", HELLO)).status == 200
        for answer in (
            await ask(port, "GET", "/handlers/locate?uid=ada"),
            await post_json(port, "/handlers/admit", {"handler_id": "WSH1", "epoch": 7, "jti": "j"}),
            await post_json(port, "/handlers/report", REPORT),
        ):
            assert (answer.status, answer.json()["reason"]) == (503, "allocation_unavailable")
            assert int(answer.one("Retry-After")) >= 1


async def test_seats_go_on_without_it() -> None:
    async with cut_off() as port:
        assert (await seat(port)).json()["error"] == "no_handlers"
        await post_json(port, "/handlers/register", HELLO)
        assert (await seat(port)).json()["handler_id"] == "WSH1"
