"""What a registry says of instances -> those that are believed, and those left out with a reason.

Each candidate is judged alone: one bad registration never keeps another one out (Fabio dropped all
routes for one bad tag). Nothing here trusts a type: a registration is input from somebody else.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from registry.addresses import Address, AddressPolicy, HostName, read_host, read_literal
from registry.model import Health, Instance, InstanceId, Quarantined, Seen, ServiceName

MAX_ID = 255
MAX_META = 64
MAX_META_KEY = 128
MAX_META_VALUE = 512
"""Consul's own limits. Another registry's are ours."""
MAX_TAGS = 64
_COUNTS_FIRST = (Health.MAINTENANCE, Health.PASSING, Health.WARNING, Health.CRITICAL)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One registration as a backend read it: health and weight are understood, the rest is raw."""

    id: object
    host: object
    port: object
    health: Health = Health.PASSING
    weight: int = 1
    tags: object = ()
    meta: object = field(default_factory=dict)
    node: str = ""
    """The machine whose agent has the registration: ids are unique there, not in the cluster."""
    zone: object = ""
    """Where that machine is, for an instance whose own meta names no zone."""


class _Unfit(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def names_to_resolve(candidates: Iterable[Candidate], policy: AddressPolicy) -> frozenset[str]:
    """The DNS names among the hosts, and the registry's own, for the caller to resolve before `admit`."""
    found = set()
    of_the_registry = (host for host, _ in policy.registries)
    for raw in (*(candidate.host for candidate in candidates), *of_the_registry):
        try:
            host = read_host(_text(raw))
        except (ValueError, _Unfit):
            continue
        if isinstance(host, HostName):
            found.add(host.name)
    return frozenset(found)


def admit(
    service: ServiceName,
    candidates: Sequence[Candidate],
    resolved: Mapping[str, Sequence[str]],
    policy: AddressPolicy,
) -> Seen:
    """Judges every candidate. `resolved` holds the literals of the names; a missing one did not resolve."""
    instances: dict[str, Instance] = {}
    left_out: list[Quarantined] = []
    for candidate in sorted(candidates, key=lambda c: (str(c.id), c.node)):
        try:
            instance = _instance(service, candidate, resolved, policy)
            if (first := instances.get(instance.id)) is not None:
                if (first.ip, first.port) == (instance.ip, instance.port):
                    instances[instance.id] = min(first, instance, key=_counts_first)
                    raise _Unfit("duplicate", f"{instance.authority} is registered twice under this id")
                # Consul's ids default to the service's name, so every node of a cluster may use the same.
                if not _plain(candidate.node, MAX_ID):
                    raise _Unfit("bad_id", "the id is taken, and the name of this node can't be added to it")
                instance = replace(instance, id=InstanceId(f"{instance.id}@{candidate.node}"))
                if instance.id in instances:
                    raise _Unfit("duplicate", f"{candidate.node} registers this id twice")
        except _Unfit as unfit:
            left_out.append(Quarantined(_label(candidate.id), service, unfit.reason, unfit.detail))
        else:
            instances[instance.id] = instance
    return Seen(tuple(instances.values()), tuple(left_out))


def _instance(
    service: ServiceName, candidate: Candidate, resolved: Mapping[str, Sequence[str]], policy: AddressPolicy
) -> Instance:
    port = candidate.port
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise _Unfit("bad_port", f"port {port!r:.32} is not in 1 to 65535")
    if not _plain(candidate.id, MAX_ID) or not candidate.id:
        raise _Unfit("bad_id", f"the id must be 1 to {MAX_ID} printable characters")
    host, address = _place(candidate.host, resolved, policy)
    if policy.is_registry(address, port, resolved):
        raise _Unfit("not_allowed", f"{address} port {port} is the registry itself")
    meta = _meta(candidate.meta)
    return Instance(
        id=InstanceId(str(candidate.id)),
        service=service,
        host=host,
        port=port,
        ip=str(address),
        health=candidate.health,
        weight=candidate.weight,
        tags=_tags(candidate.tags),
        meta=meta,
        incarnation=meta.get("incarnation", ""),
        zone=meta.get("zone") or (str(candidate.zone) if _plain(candidate.zone, MAX_META_VALUE) else ""),
    )


def _place(raw: object, resolved: Mapping[str, Sequence[str]], policy: AddressPolicy) -> tuple[str, Address]:
    """The host as it goes into URLs, and the checked address that calls connect to."""
    try:
        host = read_host(_text(raw))
    except ValueError as error:
        raise _Unfit("bad_address", str(error)) from None
    if not isinstance(host, HostName):
        if why := policy.refusal(host):
            raise _Unfit("not_allowed", why)
        return str(host), host
    literals = resolved.get(host.name, ())
    if not literals:
        raise _Unfit("unresolvable", f"{host.name} does not resolve")
    why = None
    for literal in literals:
        try:
            address = read_literal(literal)
        except ValueError as error:
            why = str(error)
            continue
        if (why := policy.refusal(address)) is None:
            return host.name, address
    raise _Unfit("not_allowed", f"{host.name}: {why}")


def _counts_first(instance: Instance) -> int:
    """Of two registrations of one process: a word of an operator, else the better one.

    A process whose agent hung, and that registered with the next one, is critical at the first for a minute.
    """
    return _COUNTS_FIRST.index(instance.health)


def _meta(raw: object) -> Mapping[str, str]:
    if raw is None:
        return MappingProxyType({})
    if not isinstance(raw, Mapping) or len(raw) > MAX_META:
        raise _Unfit("bad_meta", f"meta must be at most {MAX_META} pairs of text")
    if not all(_plain(k, MAX_META_KEY) and _plain(v, MAX_META_VALUE) for k, v in raw.items()):
        raise _Unfit("bad_meta", "meta holds a key or a value that is no printable text, or too long")
    if raw.get("scheme", "http") not in ("http", "https"):
        raise _Unfit("bad_meta", "meta `scheme` must be http or https")
    return MappingProxyType(dict(raw))


def _tags(raw: object) -> tuple[str, ...]:
    """The plain ones: a hostile tag is no reason to lose an instance, and no reason to keep the tag."""
    if not isinstance(raw, list | tuple):
        return ()
    return tuple(tag for tag in raw[:MAX_TAGS] if _plain(tag, MAX_META_VALUE))


def _plain(raw: object, longest: int) -> bool:
    return isinstance(raw, str) and len(raw) <= longest and raw.isprintable()


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise _Unfit("bad_address", "the address is no text")
    return raw


def _label(raw: object) -> str:
    """An id fit to be shown, whatever it was."""
    return "".join(c for c in str(raw)[:MAX_ID] if c.isprintable())
