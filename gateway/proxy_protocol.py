"""The PROXY protocol: how a proxy that does not speak HTTP says whose connection it passes on.

Its header comes before anything else (HAProxy's proxy-protocol.txt, 2.1 for version 1 and 2.2 for version 2).
Rules of this file: bytes that can become no header are refused as soon as that is certain, and no header may
be longer than `MAX_SIZE`.
"""

import struct
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
"""How version 2 begins; what no other protocol does."""

BEGIN_1 = b"PROXY "
MAX_SIZE_1 = 107
"""The longest line of version 1, with its end."""

MAX_SIZE = 4096
"""Version 2 could say 64 KiB of additions; what is in use are a few hundred bytes."""

_FIXED = struct.Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_IPV4, _IPV6, _UNIX = 1, 2, 3
_ADDRESS_BYTES = {0: 0, _IPV4: 12, _IPV6: 36, _UNIX: 216}


class ProxyHeader(NamedTuple):
    """A header that is all there."""

    source: str | None
    """The address of whoever connected to the proxy; `None` when that is the proxy itself (it looks whether
    we are there), or has none."""
    size: int
    """Bytes that the header takes."""


class Unread(Enum):
    """Why there is no header."""

    MORE = "not all of it is there"
    MALFORMED = "it can't become one"


def read_proxy_header(data: bytes) -> ProxyHeader | Unread:
    """The header that a connection begins with. `data` is all that has come so far."""
    if SIGNATURE.startswith(data[: len(SIGNATURE)]):
        return _read_2(data)
    if BEGIN_1.startswith(data[: len(BEGIN_1)]):
        return _read_1(data)
    return Unread.MALFORMED


def _read_1(data: bytes) -> ProxyHeader | Unread:
    end = data.find(b"\r\n", 0, MAX_SIZE_1)
    if end < 0:
        return Unread.MORE if len(data) < MAX_SIZE_1 else Unread.MALFORMED
    size = end + 2
    words = data[:end].split(b" ")
    if words[1] == b"UNKNOWN":
        return ProxyHeader(None, size)
    if len(words) != 6 or not all(map(_is_port, words[4:])):
        return Unread.MALFORMED
    family = {b"TCP4": IPv4Address, b"TCP6": IPv6Address}.get(words[1])
    if family is None or b"%" in data[:end]:
        return Unread.MALFORMED
    try:
        source, _ = (family(word.decode("ascii")) for word in words[2:4])
    except ValueError:
        return Unread.MALFORMED
    return ProxyHeader(str(source), size)


def _is_port(word: bytes) -> bool:
    """Without zeros in front."""
    return word.isdigit() and len(word) <= 5 and int(word) < 65536 and (word == b"0" or word[:1] != b"0")


def _read_2(data: bytes) -> ProxyHeader | Unread:
    if len(data) < _FIXED.size:
        possible = len(data) <= len(SIGNATURE) or data[len(SIGNATURE)] in (_LOCAL, _PROXY)
        return Unread.MORE if possible else Unread.MALFORMED
    _, command, kind, length = _FIXED.unpack_from(data)
    size = _FIXED.size + length
    family, transport = kind >> 4, kind & 0xF
    if command not in (_LOCAL, _PROXY) or size > MAX_SIZE:
        return Unread.MALFORMED
    # Of a connection that the proxy itself makes, only the length is to be read.
    if command == _PROXY and (transport > 2 or length < _ADDRESS_BYTES.get(family, length + 1)):
        return Unread.MALFORMED
    if len(data) < size:
        return Unread.MORE
    body = data[_FIXED.size : size]
    source: str | None = None
    if command == _PROXY and family == _IPV4:
        source = str(IPv4Address(body[:4]))
    elif command == _PROXY and family == _IPV6:
        source = str(IPv6Address(body[:16]))
    return ProxyHeader(source, size)
