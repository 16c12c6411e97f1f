"""What the catalogue keeps of each service and check, and what it says of its changes. Pure."""

import math
from dataclasses import dataclass

from registry.agent.definitions import CheckDefinition, ServiceDefinition


@dataclass(frozen=True, slots=True)
class PutService:
    service: ServiceDefinition


@dataclass(frozen=True, slots=True)
class DropService:
    id: str


@dataclass(frozen=True, slots=True)
class PutCheck:
    check: CheckDefinition


@dataclass(frozen=True, slots=True)
class DropCheck:
    id: str


Change = PutService | DropService | PutCheck | DropCheck


@dataclass(frozen=True, slots=True)
class Refused:
    """The catalogue's "no"."""

    reason: str
    """`unknown_service`, `not_a_ttl_check`, `too_many_services` or `too_many_checks`."""
    detail: str = ""


@dataclass(slots=True)
class Service:
    definition: ServiceDefinition
    create_index: int = 0
    modify_index: int = 0


@dataclass(slots=True)
class Check:
    definition: CheckDefinition
    status: str
    output: str = ""
    note: str = ""
    """The last output that was reported, as against one made here."""
    create_index: int = 0
    modify_index: int = 0
    expires_at: float = math.inf
    """When a TTL check that is not fed becomes critical."""
    critical_since: float = math.inf
