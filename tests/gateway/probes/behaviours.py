"""Servers of the kinds that are probed, and how they fail."""

import struct

from gateway.health_probes import Found, ProbeTarget, read_probe_url
from gateway.probes import load_probe
from gateway.runtime.probing import ask_once
from tests.balancer.origins import Behaviour, Connection

PATIENCE_S = 5.0
"""Far more than an answer takes."""
IMPATIENCE_S = 0.2
"""Where nobody answers anyway."""


async def never_answers(connection: Connection) -> None:
    await connection.reader.read()


async def answers_garbage(connection: Connection) -> None:
    await connection.say(b"\x00\xff\x16 what is this?\r\n" * 3)
    await connection.reader.read()


async def answers_without_an_end(connection: Connection) -> None:
    while True:
        await connection.say(b"+" * 4096)


async def hangs_up(connection: Connection) -> None:
    await connection.reader.read(1)


def says(*answers: bytes) -> Behaviour:
    """Hears something, and says all of this."""

    async def behaviour(connection: Connection) -> None:
        connection.origin.heads.append(await connection.reader.read(4096))
        await connection.say(b"".join(answers))
        await connection.reader.read()

    return behaviour


def postgres_error(code: str) -> bytes:
    fields = f"SFATAL\0C{code}\0Mwhat is wrong\0\0".encode()
    return b"E" + struct.pack("!i", 4 + len(fields)) + fields


ASKS_FOR_A_PASSWORD = b"R" + struct.pack("!ii", 8, 3)


def target(kind: str, port: int, rest: str = "", who: str = "") -> ProbeTarget:
    return read_probe_url(f"{kind}://{who}127.0.0.1:{port}{rest}")


async def ask(asked: ProbeTarget, timeout_s: float = PATIENCE_S) -> Found:
    """What the probe of that kind finds there."""
    return await ask_once(load_probe(asked.kind), asked, timeout_s)
