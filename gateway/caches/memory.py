"""Keeps answers in this process: bounded in bytes, those out first that were not used for longest."""

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.cache_keys import CacheKey, Names
from gateway.caches.base import Cache, Found
from gateway.caching import Stored

PER_ENTRY = 1024
PER_HEADER = 160
"""Bytes that Python's objects take beside what they say: a little more than measured."""
MOST_DROPS = 4096
"""URIs of which it is remembered that their answers were dropped, while some may be under way."""
SWEPT = 4
"""Entries that are looked at with each new one, whether their time is over."""


@dataclass(slots=True)
class _Uri:
    names: Names
    variants: set[bytes] = field(default_factory=set)


@dataclass(slots=True)
class _Entry:
    uri: bytes
    stored: Stored
    size: int
    until: float


class MemoryCache:
    """`clock` is monotonic seconds. Never waits."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._uris: dict[bytes, _Uri] = {}
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        """By variant, the one that was used last at the end."""
        self._drops = 0
        self._dropped: OrderedDict[bytes, int] = OrderedDict()
        """The number of the last drop, by URI."""
        self._forgotten = 0
        """The highest number that is not in there any more."""
        self.bytes = 0

    async def find(self, key: CacheKey) -> Found | None:
        known = self._uris.get(key.uri)
        if known is None:
            return Found(None, (), self._drops)
        variant = key.variant(known.names)
        entry = self._entries.get(variant)
        if entry is not None and entry.until <= self._clock():
            self._remove(variant)
            entry = None
        if entry is None:
            return Found(None, known.names, self._drops)
        self._entries.move_to_end(variant)
        return Found(entry.stored, known.names, self._drops)

    async def keep(self, key: CacheKey, found: Found, names: Names, stored: Stored, keep_s: float) -> bool:
        size = size_of(stored)
        assert isinstance(found.token, int)
        if size > self._max_bytes or self._dropped.get(key.uri, self._forgotten) > found.token:
            return False
        variant = key.variant(names)
        self._remove(variant)
        self._sweep()
        while self.bytes + size > self._max_bytes:
            self._remove(next(iter(self._entries)))
        known = self._uris.setdefault(key.uri, _Uri(names))
        known.names = names
        known.variants.add(variant)
        self._entries[variant] = _Entry(key.uri, stored, size, self._clock() + keep_s)
        self.bytes += size
        return True

    async def drop(self, uri: bytes) -> bool:
        self._drops += 1
        self._dropped[uri] = self._drops
        self._dropped.move_to_end(uri)
        if len(self._dropped) > MOST_DROPS:
            _, self._forgotten = self._dropped.popitem(last=False)
        known = self._uris.get(uri)
        for variant in list(known.variants) if known else ():
            self._remove(variant)
        return True

    def _sweep(self) -> None:
        """Those that were not used for long are the likeliest to be over."""
        now = self._clock()
        oldest = [variant for variant, _ in zip(self._entries, range(SWEPT), strict=False)]
        for variant in oldest:
            if self._entries[variant].until <= now:
                self._remove(variant)

    def _remove(self, variant: bytes) -> None:
        entry = self._entries.pop(variant, None)
        if entry is None:
            return
        self.bytes -= entry.size
        known = self._uris[entry.uri]
        known.variants.discard(variant)
        if not known.variants:
            del self._uris[entry.uri]

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<MemoryCache: {len(self)} answers, {self.bytes} of {self._max_bytes} bytes>"


def size_of(stored: Stored) -> int:
    """Bytes that an entry takes, its keys and headers included."""
    return stored.size + PER_ENTRY + PER_HEADER * len(stored.headers)


@asynccontextmanager
async def open_cache(url: str, max_bytes: int) -> AsyncIterator[Cache]:
    """An empty cache. `url` says where shared stores are; nothing is shared here."""
    del url
    yield MemoryCache(max_bytes)
