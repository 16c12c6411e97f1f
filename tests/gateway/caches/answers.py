"""Answers to keep, and keys to keep them under."""

from typing import Any
from uuid import uuid4

from gateway.cache_keys import CacheKey, Names
from gateway.caches.base import Cache
from gateway.caching import Stored

ANSWER = Stored(
    status=200,
    reason=b"OK",
    headers=((b"Content-Type", b"text/plain"), (b"ETag", b'"a"')),
    body=b"hello",
    born_at=1000.0,
    fresh_s=60.0,
    stale_s=0.0,
    strict=False,
    always_ask=False,
    by_ttl=False,
    etag=b'"a"',
    modified=b"",
)


def answer(body: bytes = b"hello", **changed: Any) -> Stored:
    return ANSWER._replace(body=body, **changed)


def key(uri: bytes = b"", **sent: str) -> CacheKey:
    """Of a URI that nobody else asks for, unless one is given."""
    return CacheKey(
        uri or uuid4().bytes, b"", b"", {name.encode(): value.encode() for name, value in sent.items()}
    )


async def keep(
    cache: Cache, where: CacheKey, stored: Stored = ANSWER, names: Names = (), keep_s: float = 60.0
) -> bool:
    """As who has asked for it just now."""
    found = await cache.find(where)
    assert found is not None
    return await cache.keep(where, found, names, stored, keep_s)


async def kept(cache: Cache, where: CacheKey) -> Stored | None:
    found = await cache.find(where)
    assert found is not None
    return found.stored
