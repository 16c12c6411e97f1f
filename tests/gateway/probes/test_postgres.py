"""The start-up packet, and what a server says to it."""

import ssl
import struct
from pathlib import Path

import pytest

from gateway.health_probes import Found, read_probe_url
from gateway.probes.postgres import SSL_REQUEST, VERSION_3
from tests.balancer.origins import Connection, origin, until
from tests.gateway.probes.behaviours import ASKS_FOR_A_PASSWORD, ask, postgres_error, says, target
from tests.registry.certificates import Authority


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (ASKS_FOR_A_PASSWORD, Found.UP),
        (postgres_error("28000"), Found.UP),
        (postgres_error("3D000"), Found.UP),
        (postgres_error("57P03"), Found.STARTING),
        (b"Esorry, could not fork\0", Found.BAD_ANSWER),
        (b"R" + struct.pack("!i", 1 << 30), Found.BAD_ANSWER),
    ],
    ids=["asks for a password", "no such user", "no such database", "starts up", "too old", "too long"],
)
async def test_what_it_says_to_a_session(answer: bytes, found: Found) -> None:
    async with origin(says(answer)) as there:
        assert await ask(target("postgresql", there.instance.port)) is found


@pytest.mark.parametrize(("code", "goodbye"), [(0, b"X\0\0\0\x04"), (3, b"")])
async def test_only_one_that_lets_us_in_is_taken_leave_of(code: int, goodbye: bytes) -> None:
    heard: list[bytes] = []

    async def hears(connection: Connection) -> None:
        await connection.reader.read(4096)
        await connection.say(b"R" + struct.pack("!ii", 8, code))
        heard.append(await connection.reader.read())

    async with origin(hears) as there:
        assert await ask(target("postgresql", there.instance.port)) is Found.UP
        await until(lambda: heard)
    assert heard == [goodbye]


async def test_the_password_is_never_sent() -> None:
    async with origin(says(ASKS_FOR_A_PASSWORD)) as there:
        await ask(target("postgresql+asyncpg", there.instance.port, "/shop", "ada:canary@"))
        (said,) = there.heads
        assert struct.unpack("!ii", said[:8]) == (len(said), VERSION_3)
        assert said[8:] == b"user\0ada\0database\0shop\0application_name\0quaymaster\0\0"


async def test_tls_is_asked_for_where_the_url_wants_it() -> None:
    async def has_no_tls(connection: Connection) -> None:
        connection.origin.heads.append(await connection.reader.readexactly(8))
        await connection.say(b"N")
        await connection.reader.read()

    async with origin(has_no_tls) as there:
        assert await ask(target("postgres", there.instance.port, "/x?sslmode=require")) is Found.TLS
        assert there.heads == [struct.pack("!ii", 8, SSL_REQUEST)]


@pytest.mark.parametrize(
    ("host", "options", "found"),
    [
        ("127.0.0.1", "sslmode=require", Found.UP),
        ("localhost", "sslmode=verify-ca&sslrootcert={ca}", Found.UP),
        ("127.0.0.1", "sslmode=verify-full&sslrootcert={ca}", Found.UP),
        ("localhost", "sslmode=verify-full&sslrootcert={ca}", Found.TLS),
        ("127.0.0.1", "sslmode=verify-ca", Found.TLS),
    ],
)
async def test_a_certificate_is_held_to_what_the_url_asks_of_it(
    tmp_path: Path, host: str, options: str, found: Found
) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("server"))

    async def has_tls(connection: Connection) -> None:
        await connection.reader.readexactly(8)
        await connection.say(b"S")
        try:
            await connection.writer.start_tls(context)
        except ssl.SSLError:
            return
        await connection.reader.readexactly(8)
        await connection.say(ASKS_FOR_A_PASSWORD)
        await connection.reader.read()

    async with origin(has_tls) as there:
        url = f"postgresql://{host}:{there.instance.port}/x?{options.format(ca=authority.file)}"
        assert await ask(read_probe_url(url)) is found
