"""Kept answers on the wire: long ones, shaped ones, and those of HTTP/1.0."""

from tests.balancer.origins import origin
from tests.gateway.runtime.cached_routes import FRESH, response, says, stage
from tests.gateway.runtime.gateways import wire

LONG = b"0123456789abcdef" * 16384
"""A quarter of a MiB: more than is written at once."""


async def test_long_answers_come_whole() -> None:
    async with (
        origin(says(response(LONG, FRESH))) as there,
        stage(there.instance, max_entry_bytes=2 * len(LONG)) as here,
    ):
        for _ in range(3):
            assert (await here.get()).body == LONG
        assert there.requests == 1


async def test_one_that_reads_slowly_keeps_nobody_else_waiting() -> None:
    async with (
        origin(says(response(LONG * 16, FRESH))) as there,
        stage(there.instance, max_bytes=1 << 25, max_entry_bytes=1 << 23) as here,
        wire(here.port) as slow,
    ):
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of both directions
        await slow.say("GET /open/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await here.get()).body == LONG * 16
        assert (await here.get()).body == LONG * 16
        assert there.requests == 1
        slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert (await slow.answer()).body == LONG * 16


async def test_the_routes_changes_are_made_to_kept_answers_too() -> None:
    shaping = {"set_headers": {"X-Frame-Options": "DENY"}, "remove_headers": ["X-Powered-By"]}
    async with (
        origin(says(response("x", FRESH, "X-Powered-By: PHP", "X-Frame-Options: ALLOW"))) as there,
        stage(there.instance, answer=shaping) as here,
    ):
        for _ in range(2):
            answer = await here.get()
            assert (answer.one("X-Frame-Options"), answer.all("X-Powered-By")) == ("DENY", [])
        assert there.requests == 1


async def test_headers_of_one_hop_are_not_kept() -> None:
    hop = ("Connection: X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", "X-Request-Id: theirs", "Server: x")
    async with origin(says(response("x", FRESH, *hop))) as there, stage(there.instance) as here:
        for _ in range(2):
            answer = await here.get()
            assert [answer.all(name) for name in ("X-Hop", "Keep-Alive", "Server")] == [[], [], []]
            assert answer.one("X-Request-Id") != "theirs"


async def test_old_clients_are_answered_from_the_cache_too() -> None:
    async with origin(says(response("x", FRESH))) as there, stage(there.instance) as here:
        for _ in range(2):
            async with wire(here.port) as old:
                await old.say("GET /open/x HTTP/1.0\r\nHost: localhost\r\n\r\n")
                assert (await old.rest()).endswith(b"\r\n\r\nx")
        assert there.requests == 1


async def test_an_answer_without_a_body_stays_without_one() -> None:
    nothing = b"HTTP/1.1 204 No Content\r\nCache-Control: max-age=60\r\n\r\n"
    async with origin(says(nothing)) as there, stage(there.instance) as here:
        for _ in range(2):
            answer = await here.get()
            assert (answer.status, answer.all("Content-Length")) == (204, [])
        assert there.requests == 1
