"""What was known of all services -> the bytes of a file, and back: the good state for a start without a
registry.

One line with the version and a checksum, then JSON. A file is believed whole or not at all: any byte that
is not as it was written, another registry's address or rules, or another version refuse it. What is too old
is left out service by service, because each has its own time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import orjson

from registry.model import Health, Instance, InstanceId, ServiceName

MAGIC = b"quaymaster-snapshot 1 "


@dataclass(frozen=True, slots=True)
class SavedService:
    """One service as the registry last told of it."""

    answered_at: float
    """Unix seconds of that answer."""
    instances: tuple[Instance, ...]
    """As the registry had them: without suspicion and without our own verdicts."""


@dataclass(frozen=True, slots=True)
class Saved:
    """All that was known."""

    names: frozenset[ServiceName]
    names_at: float
    """Unix seconds."""
    services: Mapping[ServiceName, SavedService]


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why a file is not believed."""

    reason: str
    """`broken`, `other_registry` or `too_old`."""
    detail: str


def encode(saved: Saved, origin: str) -> bytes:
    """The file. `origin` says which registry, read under which rules, this comes from."""
    services = {
        name: {"answered_at": service.answered_at, "instances": [_written(i) for i in service.instances]}
        for name, service in saved.services.items()
    }
    content = {
        "origin": origin,
        "names": sorted(saved.names),
        "names_at": saved.names_at,
        "services": services,
    }
    body = orjson.dumps(content)
    return MAGIC + sha256(body).hexdigest().encode() + b"\n" + body


def decode(raw: bytes, origin: str, now: float, max_age_s: float) -> Saved | Unusable:
    """What a file says, as far as it is not older than `max_age_s`. `now` is unix seconds."""
    head, _, body = raw.partition(b"\n")
    if head != MAGIC + sha256(body).hexdigest().encode():
        return Unusable("broken", "the file is damaged, or no snapshot of this version")
    try:
        content = orjson.loads(body)
        if content["origin"] != origin:
            return Unusable(
                "other_registry", f"it is of {content['origin']!r}, and the registry is {origin!r}"
            )
        services = {
            ServiceName(name): _read_service(ServiceName(name), service)
            for name, service in content["services"].items()
        }
        names, names_at = frozenset(map(ServiceName, content["names"])), float(content["names_at"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return Unusable("broken", f"the file can't be understood: {type(error).__name__}")
    young = {name: s for name, s in services.items() if _is_young(s.answered_at, now, max_age_s)}
    if not young or not _is_young(names_at, now, max_age_s):
        return Unusable("too_old", f"nothing in it is younger than {max_age_s:g} s")
    return Saved(names, names_at, MappingProxyType(young))


def _is_young(at: float, now: float, max_age_s: float) -> bool:
    """A time ahead of ours is as doubtful as one behind: somebody has set the clock."""
    return abs(now - at) <= max_age_s


def _written(instance: Instance) -> dict[str, Any]:
    return {
        "id": instance.id,
        "host": instance.host,
        "port": instance.port,
        "ip": instance.ip,
        "health": instance.health.value,
        "weight": instance.weight,
        "tags": instance.tags,
        "meta": dict(instance.meta),
        "incarnation": instance.incarnation,
        "zone": instance.zone,
    }


def _read_service(name: ServiceName, written: dict[str, Any]) -> SavedService:
    instances = tuple(_read(name, instance) for instance in written["instances"])
    return SavedService(float(written["answered_at"]), instances)


def _read(service: ServiceName, written: dict[str, Any]) -> Instance:
    return Instance(
        **written
        | {
            "service": service,
            "id": InstanceId(written["id"]),
            "health": Health(written["health"]),
            "tags": tuple(written["tags"]),
            "meta": MappingProxyType(written["meta"]),
        }
    )
