"""Whether a Postgres lets sessions begin, as `pg_isready` finds out: by the start-up packet of protocol 3.

No driver, and the password of the URL is never sent: whoever asks for it serves. Where the URL says
`sslmode=require` (or `verify-ca`, `verify-full`) TLS is asked for first, since a server may refuse others.
"""

import asyncio
import struct

from gateway.health_probes import Found, ProbeTarget
from gateway.probes.base import LONGEST, connected, tls_context

VERSION_3 = 196_608
SSL_REQUEST = 80_877_103
CANNOT_CONNECT_NOW = b"57P03"
"""The server starts, stops or recovers."""
_LET_IN = struct.pack("!i", 0)
_TERMINATE = struct.pack("!ci", b"X", 4)


async def ask(target: ProbeTarget) -> Found:
    async with connected(target) as (reader, writer):
        mode = target.options.get("sslmode", "prefer")
        if mode in ("require", "verify-ca", "verify-full"):
            writer.write(struct.pack("!ii", 8, SSL_REQUEST))
            if await reader.readexactly(1) != b"S":
                return Found.TLS
            context = await asyncio.to_thread(
                tls_context, target.ca_file, verified=mode != "require", named=mode == "verify-full"
            )
            await writer.start_tls(context, server_hostname=target.host)
        writer.write(_start_up(target))
        kind, size = struct.unpack("!ci", await reader.readexactly(5))
        if kind not in b"RE" or not 4 < size <= LONGEST:
            return Found.BAD_ANSWER
        said = await reader.readexactly(size - 4)
        if kind == b"R":
            if said == _LET_IN:
                # Whoever still waits for a password would complain of this in its log.
                writer.write(_TERMINATE)
            return Found.UP
    return Found.STARTING if _code(said) == CANNOT_CONNECT_NOW else Found.UP


def _start_up(target: ProbeTarget) -> bytes:
    user = target.user or "quaymaster"
    said = ("user", user, "database", target.path or user, "application_name", "quaymaster")
    body = b"".join(word.encode() + b"\0" for word in said) + b"\0"
    return struct.pack("!ii", 8 + len(body), VERSION_3) + body


def _code(fields: bytes) -> bytes:
    """The SQLSTATE of an ErrorResponse: fields of a letter and text, each with a NUL at its end."""
    return next((part[1:] for part in fields.split(b"\0") if part.startswith(b"C")), b"")
