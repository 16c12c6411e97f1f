"""Which text may be the name of a service, and the id of an instance.

A name goes into the path of a registry's HTTP API, and the client library does not escape `..`: a
crafted name once read Consul's key-value store. So every name passes here before anything else.
"""

import re
from typing import TypeGuard

from registry.model import InstanceId, ServiceName

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_NOT_IN_A_HOST = re.compile(r"[^A-Za-z0-9.:_-]", re.ASCII)
_HOST_MAX = 120
"""Leaves room for the longest name."""
_INSTANCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,254}", re.ASCII)


def is_service_name(text: str) -> TypeGuard[ServiceName]:
    """1 to 128 letters, digits, dots, underscores and hyphens, the first a letter or a digit."""
    return _NAME.fullmatch(text) is not None


def is_registrable_id(text: str) -> bool:
    """Whether an instance may be registered under this id; like a name, with `:` and `@`, to 255.

    Ids that others registered are not held to this: they are read, and never put into a path.
    """
    return _INSTANCE_ID.fullmatch(text) is not None


def instance_id(service: str, host: str, port: int) -> InstanceId:
    """The id of an instance that was given none: another on every machine and port, the same after a
    restart. A machine may be called anything, so what an id can't hold becomes a hyphen."""
    return InstanceId(f"{service}-{_NOT_IN_A_HOST.sub('-', host)[:_HOST_MAX]}-{port}")
