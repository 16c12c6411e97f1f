"""Gateways as these tests want them: one route for everything, no limit in the way."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from gateway.runtime.app import Gateway
from registry.model import Instance
from tests.gateway.runtime.gateways import gateway

EVERYTHING = {"path": "/*", "service": "auth", "access": "public"}


def open_gateway(
    *instances: Instance, route: dict[str, Any] | None = None, **sections: Any
) -> AbstractAsyncContextManager[Gateway]:
    """A gateway whose one public route carries every path; `route` is laid over it."""
    limits = {"per_address": None, "per_user": None}
    return gateway(*instances, **{"routes": [EVERYTHING | (route or {})], "limits": limits, **sections})
