"""What one client sends must not change what the cache gives to the others."""

import pytest

from tests.balancer.origins import Connection, origin
from tests.gateway.runtime.cached_routes import FRESH, response, says, stage
from tests.gateway.runtime.gateways import said, wire


@pytest.mark.parametrize(
    "poison",
    [
        "X-Forwarded-Host: evil.example",
        "X_Forwarded_Host: evil.example",
        "Forwarded: host=evil.example",
        "X-Forwarded-Proto: evil",
        "X-Forwarded-Port: evil",
        "X_Forwarded_Port: evil",
        "X-Forwarded-Scheme: evil",
        "X-Forwarded-Prefix: /evil",
        "X-Original-URL: /evil",
        "X-Rewrite-URL: /evil",
        "X-HTTP-Method-Override: evil",
        "X-Host: evil.example",
        "Host: evil.example",
        "Connection: Host, X-Forwarded-Host",
        "X-User-Id: root",
        "Transfer-Encoding: chunked",
    ],
)
async def test_no_header_of_one_client_changes_what_the_others_get(poison: str) -> None:
    def echoes(head: bytes) -> bytes:
        """What a careless application builds its links from."""
        lines = [
            line
            for line in head.split(b"\r\n")[1:]
            if not line.lower().startswith((b"x-request-id", b"x-quay"))
        ]
        return response(b"\n".join(lines), FRESH)

    async with origin(says(echoes)) as there, stage(there.instance) as here:
        async with wire(here.port) as attacker:
            own_host = [] if poison.startswith("Host") else ["Host: localhost"]
            lines = "\r\n".join(["GET /open/x HTTP/1.1", *own_host, poison, "", ""])
            await attacker.say(lines, b"0\r\n\r\n" if "chunked" in poison else b"")
            await attacker.answer()
        assert b"evil" not in (victim := (await here.get()).body)
        async with stage(there.instance) as untouched:
            assert (await untouched.get()).body == victim


async def test_a_body_that_no_key_knows_poisons_nobody() -> None:
    async def echoes_the_body(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.say(response(connection.origin.bodies[-1] or b"clean", FRESH))

    async with origin(echoes_the_body) as there, stage(there.instance) as here:
        assert (await here.get(body=b"evil")).body == b"evil"
        async with wire(here.port) as attacker:
            await attacker.say(
                "GET /open/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
                "4\r\nevil\r\n0\r\n\r\n",
            )
            assert (await attacker.answer()).body == b"evil"
        assert (await here.get()).body == b"clean"


async def test_an_encoded_answer_is_for_those_who_take_it() -> None:
    def encoded(head: bytes) -> bytes:
        takes = said(head, "Accept-Encoding")
        return response("zip", FRESH, "Content-Encoding: gzip") if takes else response("plain", FRESH)

    async with origin(says(encoded)) as there, stage(there.instance) as here:
        assert (await here.get("/open/x", "Accept-Encoding: gzip")).body == b"zip"
        assert (await here.get()).body == b"plain"


async def test_another_origin_is_never_told_to_a_browser() -> None:
    def allows(head: bytes) -> bytes:
        return response("x", FRESH, f"Access-Control-Allow-Origin: {''.join(said(head, 'Origin')) or 'none'}")

    async with origin(says(allows)) as there, stage(there.instance) as here:
        for name in ("https://a.example", "https://b.example"):
            answer = await here.get("/open/x", f"Origin: {name}")
            assert answer.one("Access-Control-Allow-Origin") == name


async def test_a_path_that_looks_like_a_file_makes_nothing_public() -> None:
    """Web cache deception: only what the instance says, and for whom it was asked, decides."""

    def account(head: bytes) -> bytes:
        return response(f"account of {said(head, 'Cookie')}", "Content-Type: text/html")

    async with origin(says(account)) as there, stage(there.instance, kept={"ttl_s": 60}) as here:
        victim = await here.get("/open/account/nothing.css", "Cookie: session=ada")
        assert victim.body == b"account of ['session=ada']"
        assert (await here.get("/open/account/nothing.css")).body == b"account of []"
        assert (await here.get("/open/account/nothing.css", "Cookie: session=eve")).body.endswith(b"eve']")


async def test_an_error_that_one_client_provokes_is_nobody_elses() -> None:
    """Cache-poisoned denial of service: a header that the instance refuses."""

    def strict(head: bytes) -> bytes:
        if said(head, "X-Oversized"):
            return response("too large", FRESH, status="400 Bad Request")
        return response("fine", FRESH)

    async with origin(says(strict)) as there, stage(there.instance, kept={"ttl_s": 60}) as here:
        assert (await here.get("/open/x", f"X-Oversized: {'x' * 4000}")).status == 400
        assert (await here.get()).body == b"fine"


async def test_addresses_without_end_do_not_outgrow_their_room() -> None:
    async with (
        origin(says(response("x" * 1000, FRESH, "Vary: X-Any"))) as there,
        stage(there.instance, max_bytes=50_000) as here,
        wire(here.port) as client,
    ):
        for n in range(100):
            await client.say(f"GET /open/{n} HTTP/1.1\r\nHost: localhost\r\nX-Any: {n}\r\n\r\n")
            assert (await client.answer()).status == 200
        (forwarder,) = here.forwarders
        assert "of 50000 bytes" in repr(forwarder)
        await client.say("GET /open/99 HTTP/1.1\r\nHost: localhost\r\nX-Any: 99\r\n\r\n")
        assert (await client.answer()).one("Age") == "0"
