"""Headers that a client may not choose, those that end at this connection, and what a body may be."""

import gzip
import json
from typing import Any

import pytest

from tests.conformance.gateways import EVERYTHING, open_gateway
from tests.conformance.oracle import Request, values
from tests.conformance.recorder import recorder
from tests.conformance.talk import Talk, talk
from tests.gateway.runtime.gateways import token

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

TRUSTED: dict[str, Any] = {"listen": {"port": 0, "trusted_proxies": ["127.0.0.1/32"]}}
BOMB = gzip.compress(bytes(10 << 20))


async def seen_of(*lines: str | bytes, user: str | None = None, **sections: Any) -> Request:
    """What the instance sees of a GET with these header lines."""
    access = {"access": "public" if user is None else "user"}
    if user is not None:
        lines = (f"Authorization: Bearer {token(user)}", *lines)
    async with (
        recorder() as kept,
        open_gateway(kept.instance, route=access, **sections) as running,
        talk(running.port) as client,
    ):
        head = b"".join((line.encode() if isinstance(line, str) else line) + b"\r\n" for line in lines)
        await client.say(b"GET / HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n")
        answer = await client.answer()
        assert answer.status == 200, answer
        assert kept.problem() is None
        (seen,) = kept.requests()
        return seen


async def test_connection_can_not_name_away_what_the_gateway_vouches_for() -> None:
    named = "X-User-Id, X-Request-Id, X-Forwarded-For, X-Forwarded-Proto, Host, Content-Length, X-Mine, close"
    seen = await seen_of(f"Connection: {named}", "X-Mine: 1", "X-Kept: 2", user="ada")
    assert seen.all(b"x-user-id") == [b"ada"]
    assert seen.all(b"x-forwarded-for") == [b"127.0.0.1"]
    assert seen.all(b"x-forwarded-proto") == [b"http"]
    assert len(seen.all(b"x-request-id")) == 1
    assert seen.all(b"host") == [b"a"]
    assert seen.all(b"x-mine") == []
    assert seen.all(b"x-kept") == [b"2"]


@pytest.mark.parametrize(
    "line",
    [
        *("Connection: keep-alive", "Keep-Alive: timeout=9", "Proxy-Connection: close", "TE: gzip, trailers"),
        *("Trailer: X", "Upgrade: h2c", "Proxy-Authorization: Basic eDp5", "Proxy-Authenticate: Basic"),
        *("HTTP2-Settings: x", "Proxy: http://evil", "X-Internal-Key: guess"),
    ],
)
async def test_what_speaks_of_one_connection_or_of_us_ends_here(line: str) -> None:
    seen = await seen_of(line)
    name, _, value = line.partition(": ")
    assert value.encode() not in seen.all(name.lower().encode())


async def test_hop_by_hop_headers_of_an_answer_end_here_and_doubled_ones_stay() -> None:
    lines = (
        "Keep-Alive: timeout=9",
        "Connection: X-Private",
        "X-Private: 1",
        "Proxy-Authenticate: Basic",
        "Trailer: X",
        "Upgrade: h2c",
        "Server: Secret/1.0",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
        "X-KEPT: As-Is",
    )
    said = ("HTTP/1.1 200 OK\r\n" + "\r\n".join(lines) + "\r\nContent-Length: 0\r\n\r\n").encode()
    async with (
        recorder(lambda *_: said) as kept,
        open_gateway(kept.instance) as running,
        talk(running.port) as client,
    ):
        await client.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await client.answer()
        names = {name for name, _ in answer.headers}
        assert not names & {b"keep-alive", b"x-private", b"proxy-authenticate", b"trailer", b"upgrade"}
        assert not answer.all(b"server")
        assert values(answer.headers, b"set-cookie") == [b"a=1", b"b=2"]
        assert b"X-KEPT: As-Is\r\n" in client.raw


SPOOFED = (
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil",
    "Forwarded: for=6.6.6.6;host=evil",
    "X-Real-IP: 6.6.6.6",
    "X-Request-Id: bad id with spaces",
)


async def test_who_called_is_the_socket_s_word_and_not_the_clients() -> None:
    seen = await seen_of(*SPOOFED)
    assert seen.all(b"x-forwarded-for") == [b"127.0.0.1"]
    assert seen.all(b"x-forwarded-proto") == [b"http"]
    assert seen.all(b"x-forwarded-host") == [b"a"]
    assert seen.all(b"forwarded") == seen.all(b"x-real-ip") == []
    assert seen.all(b"x-request-id") != [b"bad id with spaces"]


async def test_a_trusted_proxys_word_is_passed_on_with_its_own_address() -> None:
    seen = await seen_of("X-Forwarded-For: 6.6.6.6, 7.7.7.7", "X-Forwarded-Proto: https", **TRUSTED)
    assert seen.all(b"x-forwarded-for") == [b"6.6.6.6, 7.7.7.7, 127.0.0.1"]
    assert seen.all(b"x-forwarded-proto") == [b"https"]


@pytest.mark.parametrize("trusted", [False, True])
async def test_made_up_addresses_do_not_get_around_the_limit(*, trusted: bool) -> None:
    """Behind a trusted proxy the rightmost address counts, and what stands before it is the client's own."""
    sections: dict[str, Any] = {"limits": {"per_address": 10}} | (TRUSTED if trusted else {})
    async with recorder() as kept, open_gateway(kept.instance, **sections) as running:
        async with talk(running.port) as client:
            for number in range(20):
                chain = f"10.0.0.{number}" + (", 7.7.7.7" if trusted else "")
                await client.say(f"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {chain}\r\n\r\n".encode())
                await client.answer(number + 1)
            statuses = [answer.status for answer in client.answers]
        assert statuses == [200] * 10 + [429] * 10
        assert len(kept.requests()) == 10


@pytest.mark.parametrize(
    "line", ["X-User-Id: eve", "x_user_id: eve", "X_User-Id: eve", "X-USER-ID: eve", "X-Forwarded_For: eve"]
)
async def test_nobody_says_for_himself_who_he_is(line: str) -> None:
    assert b"eve" not in [value for _, value in (await seen_of(line)).headers]
    seen = await seen_of(line, user="ada")
    assert b"eve" not in [value for _, value in seen.headers]
    assert seen.all(b"x-user-id") == [b"ada"]


@pytest.mark.parametrize(
    "uid", ["a\r\nX-Admin: 1", "a\x00b", "a\nb", "jürgen", "猫", "a b", "\ud800", "%0d%0a"]
)
async def test_a_user_id_of_any_characters_is_one_harmless_header(uid: str) -> None:
    """No two of them become the same value, and none ends its line."""
    async with (
        recorder() as kept,
        open_gateway(kept.instance, route={"access": "user"}) as running,
        talk(running.port) as client,
    ):
        await client.say(f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token(uid)}\r\n\r\n".encode())
        answer = await client.answer()
        assert answer.status in (200, 401)
        assert kept.problem() is None
        for seen in kept.requests():
            (value,) = seen.all(b"x-user-id")
            assert value.isascii()
            assert b"%" in value
            assert not seen.all(b"x-admin")


async def test_a_packed_body_passes_as_it_is_in_both_directions() -> None:
    async with recorder() as kept, open_gateway(kept.instance) as running, talk(running.port) as client:
        head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: {len(BOMB)}\r\n\r\n"
        await client.say(head.encode() + BOMB)
        assert (await client.answer()).body == BOMB
        (seen,) = kept.requests()
        assert seen.all(b"content-encoding") == [b"gzip"]
        assert seen.body == BOMB


async def test_a_packed_answer_passes_as_it_is() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB
    async with (
        recorder(lambda *_: said) as kept,
        open_gateway(kept.instance) as running,
        talk(running.port) as client,
    ):
        await client.say(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: identity\r\n\r\n")
        answer = await client.answer()
        assert answer.body == BOMB
        assert answer.one(b"content-encoding") == b"gzip"


EXPECTS = "POST {} HTTP/1.1\r\nHost: a\r\nExpect: {}\r\nContent-Length: {}\r\n\r\n"


async def test_a_client_is_told_to_go_on_only_when_it_may() -> None:
    routes = [EVERYTHING | {"path": "/open"}, EVERYTHING | {"path": "/mine", "access": "user"}]
    async with recorder() as kept, open_gateway(kept.instance, routes=routes) as running:

        async def heard(path: str, expectation: str = "100-continue", size: int = 5) -> Talk:
            async with talk(running.port) as client:
                await client.say(EXPECTS.format(path, expectation, size).encode())
                await client.hear(lambda: b"\r\n\r\n" in client.raw)
                if client.raw.startswith(b"HTTP/1.1 100"):
                    assert not kept.requests()
                    await client.say(b"hello")
                await client.answer()
                return client

        for path, expectation, size, status in (
            ("/mine", "100-continue", 5, 401),
            ("/nowhere", "100-continue", 5, 404),
            ("/open", "100-continue", 1 << 40, 413),
            ("/open", "a-miracle", 5, 417),
        ):
            (answer,) = (await heard(path, expectation, size)).answers
            assert (answer.status, answer.interim) == (status, ()), path
            assert answer.one(b"connection") == b"close", "whether the body comes nobody knows"
        assert not kept.begun()
        (answer,) = (await heard("/open")).answers
        assert (answer.status, answer.interim, answer.body) == (200, (100,), b"hello")
        assert not answer.all(b"connection")
        (seen,) = kept.requests()
        assert json.loads(answer.one(b"x-saw"))[1:] == ["POST", "/open"]
        assert not seen.all(b"expect")
