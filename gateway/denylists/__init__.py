"""The places that know which tokens are revoked: one file each, and this table."""

from importlib import import_module
from typing import cast

from gateway.denylists.base import OpenDenylist

DENYLISTS = {
    "memory": "gateway.denylists.memory",
    "redis": "gateway.denylists.redis",
}


def load_denylist(name: str) -> OpenDenylist:
    """The `open_denylist` of the denylist of that name. Raises `KeyError` for a name not in the table."""
    return cast(OpenDenylist, import_module(DENYLISTS[name]).open_denylist)
