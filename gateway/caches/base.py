"""What a place for answers does: finds one, keeps one, drops all of a URI's."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from gateway.cache_keys import CacheKey, Names
from gateway.caching import Stored

__all__ = ["Cache", "Found", "OpenCache"]


@dataclass(frozen=True, slots=True)
class Found:
    """What is kept of a URI."""

    stored: Stored | None
    """The answer to the request that asked, if it is there."""
    names: Names
    """The headers that answers of this URI vary by, as far as any is kept."""
    token: object
    """The store's own: what was asked for before a drop is not kept after it."""


class Cache(Protocol):
    """Never raises for a store that is away, and waits for it no longer than one of its timeouts."""

    async def find(self, key: CacheKey) -> Found | None:
        """What is kept for that key; `None` when the store does not answer."""
        ...

    async def keep(self, key: CacheKey, found: Found, names: Names, stored: Stored, keep_s: float) -> bool:
        """Keeps an answer that was asked for after `found`, and varies by `names`; whether that was possible.

        It is not kept if the URI's answers were dropped since.
        """
        ...

    async def drop(self, uri: bytes) -> bool:
        """Forgets every answer of that URI; `False` when the store does not answer."""
        ...


class OpenCache(Protocol):
    """The type of every module's `open_cache`. `max_bytes` bounds what this process keeps itself."""

    def __call__(self, url: str, max_bytes: int) -> AbstractAsyncContextManager[Cache]: ...
