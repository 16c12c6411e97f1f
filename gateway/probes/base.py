"""What a probe is, and the connection it has."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from gateway.health_probes import Found, ProbeTarget

LONGEST = 8192
"""Bytes that are read of an answer at most."""


class Ask(Protocol):
    """The type of every module's `ask`."""

    async def __call__(self, target: ProbeTarget) -> Found:
        """Asks once. Raises `OSError`, `EOFError` or `ValueError` for what is no answer; the caller has the
        timeout."""
        ...


@asynccontextmanager
async def connected(target: ProbeTarget) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the target, by TLS if it wants that; gone at the end."""
    tls = await asyncio.to_thread(tls_context, target.ca_file) if target.tls else None
    reader, writer = await asyncio.open_connection(target.host, target.port, ssl=tls, limit=LONGEST)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def line(reader: asyncio.StreamReader) -> bytes:
    """One line without its end. Raises `ValueError` for one that is too long, `EOFError` for none."""
    try:
        return (await reader.readuntil(b"\n")).rstrip(b"\r\n")
    except asyncio.LimitOverrunError:
        raise ValueError("a line without an end") from None


def tls_context(ca_file: str | None, *, verified: bool = True, named: bool = True) -> ssl.SSLContext:
    """Who is believed: `verified` by a certificate, and `named` in it. Reads files, which may have changed
    since: call it beside the loop."""
    context = ssl.create_default_context(cafile=ca_file)
    context.check_hostname = verified and named
    if not verified:
        context.verify_mode = ssl.CERT_NONE
    return context
