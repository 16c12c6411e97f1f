"""The places that know instances: one file each, and this table."""

from importlib import import_module
from typing import cast

from registry.backends.base import OpenBackend

BACKENDS = {
    "consul": "registry.backends.consul",
    "embedded": "registry.backends.embedded",
    "static": "registry.backends.static",
}


def load_backend(name: str) -> OpenBackend:
    """The `open_backend` of the backend of that name. Raises `KeyError` for a name not in the table."""
    return cast(OpenBackend, import_module(BACKENDS[name]).open_backend)
