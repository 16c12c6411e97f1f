"""Keeps answers in a Redis that all gateways share, so that what one has fetched all have.

Each answer has its own expiry; how much there may be is Redis' own `maxmemory`, with `allkeys-lru` for a
Redis that keeps nothing else. While it does not answer nothing is kept and nothing is found, and nobody waits
for that longer than one of its timeouts.
"""

import struct
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from gateway.cache_keys import CacheKey, Names
from gateway.caches.base import Cache, Found
from gateway.caching import Stored
from gateway.caching_wire import VERSION, pack, unpack
from handlers.stores.lua.script import LuaScript, open_redis, read_script
from registry.runtime.batches import Batches, Unanswered

MOST = 8
"""Calls in one run of the script: each may carry an answer, and they share one timeout."""
MOST_WAITING = 1000
MARK_S = 120.0
"""How long a drop is remembered; an answer that took longer to come is not kept."""
GUESSES = 4096
"""URIs of which it is remembered what their answers vary by, so that one round trip finds them."""

_MILLISECONDS = 1000
_FOUND = struct.Struct(">cHH")
_LENGTH = struct.Struct(">I")

Call = tuple[Sequence[bytes], Sequence[bytes]]
"""Three keys and six arguments, as the script says."""


class RedisCache:
    """`clock` is monotonic seconds; `max_bytes` may be on their way to Redis at a time."""

    def __init__(
        self, script: LuaScript, max_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._script = script
        self._max_bytes = max_bytes
        self._clock = clock
        # One slot of a Redis Cluster, because one run is for many URIs.
        self._prefix = b"quaymaster:%b:{cache}:" % VERSION
        self._batches: Batches[Call, bytes] = Batches(self._send, most=MOST, waiting=MOST_WAITING)
        self._guesses: dict[bytes, Names] = {}
        self._sending = 0

    async def find(self, key: CacheKey) -> Found | None:
        guess = self._guesses.get(key.uri, ())
        found = await self._find(key, guess)
        if found is None or found.names == guess:
            return found
        if len(self._guesses) >= GUESSES:
            del self._guesses[next(iter(self._guesses))]
        self._guesses[key.uri] = found.names
        return await self._find(key, found.names)

    async def _find(self, key: CacheKey, names: Names) -> Found | None:
        asked_at = self._clock()
        said = await self._call(key.uri, key.variant(names), b"find", b",".join(names))
        if said is None:
            return None
        kind, mark_length, names_length = _FOUND.unpack_from(said)
        mark_end = _FOUND.size + mark_length
        mark, names_end = said[_FOUND.size : mark_end], mark_end + names_length
        known = said[mark_end:names_end]
        return Found(
            unpack(said[names_end:]) if kind == b"+" else None,
            tuple(known.split(b",")) if known else (),
            (mark, asked_at),
        )

    async def keep(self, key: CacheKey, found: Found, names: Names, stored: Stored, keep_s: float) -> bool:
        assert isinstance(found.token, tuple)
        mark, asked_at = found.token
        size = stored.size
        if self._clock() - asked_at > MARK_S / 2 or self._sending + size > self._max_bytes:
            return False
        keep_ms = b"%d" % max(1, int(keep_s * _MILLISECONDS))
        self._sending += size
        try:
            said = await self._call(
                key.uri,
                key.variant(names),
                *(b"keep", mark, b",".join(names), uuid4().hex.encode(), keep_ms, pack(stored)),
            )
        finally:
            self._sending -= size
        return said == b"+"

    async def drop(self, uri: bytes) -> bool:
        mark, mark_ms = uuid4().hex.encode(), b"%d" % int(MARK_S * _MILLISECONDS)
        return await self._call(uri, b"", b"drop", mark, mark_ms) is not None

    async def close(self) -> None:
        await self._batches.close()
        await self._script.close()

    async def _call(self, uri: bytes, variant: bytes, *arguments: bytes) -> bytes | None:
        """What the script says to one call; `None` when Redis does not answer."""
        places = ((b"index:", uri), (b"mark:", uri), (b"answer:", variant))
        keys = [self._prefix + kind + key.hex().encode() for kind, key in places]
        try:
            self._script.expect_answer()
            return await self._batches.call((keys, (*arguments, *[b""] * (6 - len(arguments)))))
        except Unanswered:
            return None

    async def _send(self, calls: Sequence[Call]) -> Sequence[bytes]:
        keys = [key for one, _ in calls for key in one]
        said = await self._script.run(keys, [argument for _, each in calls for argument in each])
        answers: list[bytes] = []
        at = 0
        while at < len(said):
            (length,) = _LENGTH.unpack_from(said, at)
            at += _LENGTH.size + length
            answers.append(said[at - length : at])
        return answers

    def __repr__(self) -> str:
        return f"<RedisCache: {self._sending} bytes on their way, {self._batches!r}>"


@asynccontextmanager
async def open_cache(url: str, max_bytes: int) -> AsyncIterator[Cache]:
    """Opens also while Redis is away. Raises `ValueError` for a URL that is none of Redis."""
    async with open_redis(url) as redis:
        script = LuaScript(redis, read_script(Path(__file__).parent / "lua", "answers"))
        cache = RedisCache(script, max_bytes)
        try:
            yield cache
        finally:
            await cache.close()
