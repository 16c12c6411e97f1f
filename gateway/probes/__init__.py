"""What can be asked whether it is there: one file each, and this table."""

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from gateway.probes.base import Ask

PROBES = {
    "http": "gateway.probes.http",
    "postgres": "gateway.probes.postgres",
    "redis": "gateway.probes.redis",
    "tcp": "gateway.probes.tcp",
}
SCHEMES = {"https": "http", "postgresql": "postgres", "rediss": "redis"}
"""Of URLs, where they are not the name itself."""
PORTS = {
    "http": 80,
    "https": 443,
    "postgres": 5432,
    "postgresql": 5432,
    "redis": 6379,
    "rediss": 6379,
}
"""Where the URL names none. A scheme that is not in here needs one."""


def load_probe(kind: str) -> "Ask":
    """The `ask` of that kind. Raises `KeyError` for a name not in the table."""
    return cast("Ask", import_module(PROBES[kind]).ask)
