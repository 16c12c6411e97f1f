"""The places that keep answers: one file each, and this table."""

from importlib import import_module
from typing import cast

from gateway.caches.base import OpenCache

CACHES = {
    "memory": "gateway.caches.memory",
    "redis": "gateway.caches.redis",
}


def load_cache(name: str) -> OpenCache:
    """The `open_cache` of the cache of that name. Raises `KeyError` for a name not in the table."""
    return cast(OpenCache, import_module(CACHES[name]).open_cache)
