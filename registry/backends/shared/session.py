"""The HTTP session of a client that talks to one agent for months."""

import socket
import ssl
from typing import Any

import aiohttp

from registry.backends.base import BackendSettings

KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Seconds, seconds, probes: a peer that vanished is noticed after 15 + 3 x 5 s, within a long poll."""
MAX_BODY = 64 * 1024 * 1024
"""More than any catalogue, and less than an endless answer."""


def tls_context(settings: BackendSettings) -> ssl.SSLContext:
    """Reads files. Raises `OSError` (also `ssl.SSLError`) for one that can't be used."""
    context = ssl.create_default_context(cafile=settings.ca_file)
    if settings.cert_file is not None:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context


def open_session(tls: ssl.SSLContext | None) -> aiohttp.ClientSession:
    """No limit of connections (each watch holds one), no cookies, TCP keepalive."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=tls or True, socket_factory=kept_alive),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def kept_alive(address: Any) -> socket.socket:
    """A socket for an aiohttp `AddrInfo`, which asks by itself whether its peer is still there."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE.items():
        if hasattr(socket, option):  # not every system has all three
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return made


async def read_text(answer: aiohttp.ClientResponse, most: int = MAX_BODY) -> str:
    """The whole body. Raises `ValueError` when it is longer than `most` bytes."""
    body = bytearray()
    async for part in answer.content.iter_any():
        body += part
        if len(body) > most:
            raise ValueError(f"an answer of more than {most} bytes")
    return body.decode(errors="replace")
