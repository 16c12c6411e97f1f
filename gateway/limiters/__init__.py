"""The places that count requests: one file each, and this table."""

from importlib import import_module
from typing import cast

from gateway.limiters.base import OpenLimiter

LIMITERS = {
    "memory": "gateway.limiters.memory",
    "redis": "gateway.limiters.redis",
}


def load_limiter(name: str) -> OpenLimiter:
    """The `open_limiter` of the limiter of that name. Raises `KeyError` for a name not in the table."""
    return cast(OpenLimiter, import_module(LIMITERS[name]).open_limiter)
