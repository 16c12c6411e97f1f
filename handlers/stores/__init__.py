"""The places that keep seats: one file each, and this table."""

from importlib import import_module
from typing import cast

from handlers.stores.base import OpenStore

STORES = {
    "memory": "handlers.stores.memory",
    "redis": "handlers.stores.redis",
}


def load_store(name: str) -> OpenStore:
    """The `open_store` of the store of that name. Raises `KeyError` for a name not in the table."""
    return cast(OpenStore, import_module(STORES[name]).open_store)
