"""Kept answers as bytes, for stores outside of this process.

Rules of this file: what is read is what was written, or nothing: bytes of another version, or cut short, are
no answer.
"""

import struct

from gateway.caching import Stored

VERSION = b"q1"
"""Changes with the fields, so that gateways of two versions can share a store."""

_FIXED = struct.Struct(">HdddBIIIII")
"""Status, three times, flags; then how long the reason, the tags, the headers and the body are."""
_LENGTHS = struct.Struct(">II")


def pack(stored: Stored) -> bytes:
    headers = b"".join(
        part for name, value in stored.headers for part in (_LENGTHS.pack(len(name), len(value)), name, value)
    )
    flags = stored.strict | stored.always_ask << 1 | stored.by_ttl << 2
    texts = (stored.reason, stored.etag, stored.modified, headers, stored.body)
    times = (stored.born_at, stored.fresh_s, stored.stale_s)
    return b"".join((VERSION, _FIXED.pack(stored.status, *times, flags, *map(len, texts)), *texts))


def unpack(data: bytes) -> Stored | None:
    """What `pack` has made; `None` for anything else."""
    at = len(VERSION) + _FIXED.size
    if not data.startswith(VERSION) or len(data) < at:
        return None
    status, born_at, fresh_s, stale_s, flags, *lengths = _FIXED.unpack_from(data, len(VERSION))
    if at + sum(lengths) != len(data):
        return None
    texts: list[bytes] = []
    for length in lengths:
        texts.append(data[at : at + length])
        at += length
    reason, etag, modified, lines, body = texts
    headers = _headers(lines)
    if headers is None:
        return None
    strict, always_ask, by_ttl = bool(flags & 1), bool(flags & 2), bool(flags & 4)
    return Stored(
        status, reason, headers, body, born_at, fresh_s, stale_s, strict, always_ask, by_ttl, etag, modified
    )


def _headers(data: bytes) -> tuple[tuple[bytes, bytes], ...] | None:
    pairs: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(data):
        if len(data) - at < _LENGTHS.size:
            return None
        name, value = _LENGTHS.unpack_from(data, at)
        at += _LENGTHS.size
        if len(data) - at < name + value:
            return None
        pairs.append((data[at : at + name], data[at + name : at + name + value]))
        at += name + value
    return tuple(pairs)
