"""Which text may be the name of a service.

A name goes into the path of a registry's HTTP API, and the client library does not escape `..`: a
crafted name once read Consul's key-value store. So every name passes here before anything else.
"""

import re
from typing import TypeGuard

from registry.model import ServiceName

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_INSTANCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,254}", re.ASCII)


def is_service_name(text: str) -> TypeGuard[ServiceName]:
    """1 to 128 letters, digits, dots, underscores and hyphens, the first a letter or a digit."""
    return _NAME.fullmatch(text) is not None


def is_registrable_id(text: str) -> bool:
    """Whether an instance may be registered under this id; like a name, with `:` and `@`, to 255.

    Ids that others registered are not held to this: they are read, and never put into a path.
    """
    return _INSTANCE_ID.fullmatch(text) is not None
