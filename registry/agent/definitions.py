"""What a caller registers: services and checks, read from Consul's JSON bodies. Pure.

The rules and the error texts are those of Consul 1.8.7, each tried with curl. What this agent can't
do (scripts, gRPC, Docker, alias checks, Connect) is refused by name, never accepted and forgotten.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Literal

from registry.agent.decode import (
    BadBody,
    anything,
    boolean,
    duration,
    header_map,
    listed,
    mapped,
    nested,
    parse_object,
    read_fields,
    text,
    text_map,
    texts,
    whole,
)
from registry.agent.metadata import metadata_fault

PASSING, WARNING, CRITICAL = "passing", "warning", "critical"
STATUSES = (PASSING, WARNING, CRITICAL)
SERF_HEALTH = "serfHealth"
"""The check of the node itself. Nobody may register or remove it: it would take every service down."""
MAX_OUTPUT = 4096
"""Bytes of a check's output that are kept."""
MAX_WEIGHT = 65535

CheckKind = Literal["ttl", "http", "tcp", "maintenance"]


@dataclass(frozen=True, slots=True)
class ServiceDefinition:
    """A registered service instance, as its caller wrote it."""

    id: str
    name: str
    port: int = 0
    address: str = ""
    tags: tuple[str, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)
    tagged_addresses: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    passing_weight: int = 1
    warning_weight: int = 1
    enable_tag_override: bool = False


@dataclass(frozen=True, slots=True)
class CheckDefinition:
    """A registered check. `service_id` empty means: of the node, so of every service."""

    id: str
    name: str
    kind: CheckKind
    service_id: str = ""
    notes: str = ""
    status: str = CRITICAL
    """What it starts with, also after a restart of the agent."""
    ttl_s: float = 0.0
    target: str = ""
    """The URL or the host:port that is asked."""
    interval_s: float = 0.0
    timeout_s: float = 10.0
    method: str = "GET"
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    body: str = ""
    skip_tls_verify: bool = False
    deregister_after_s: float = 0.0
    """The service is forgotten after being critical for so long; 0 means never."""
    success_before_passing: int = 0
    failures_before_critical: int = 0
    output_max: int = MAX_OUTPUT


@dataclass(frozen=True, slots=True)
class RegisterBody:
    service: ServiceDefinition
    checks: tuple[CheckDefinition, ...]


def read_service(body: bytes) -> RegisterBody:
    """The body of `agent/service/register`. Raises `BadBody`."""
    fields = read_fields(parse_object(body), _SERVICE)
    _refuse_unsupported(fields, _UNSUPPORTED_SERVICE)
    name = fields.get("Name", "")
    if not name:
        raise BadBody("Missing service name")
    address = fields.get("Address", "")
    if address in ("0.0.0.0", "::", "[::]"):
        raise BadBody("Invalid service address")
    meta = fields.get("Meta", {})
    if fault := metadata_fault(meta):
        raise BadBody(f"Invalid Service Meta: {fault}")
    passing, warning = _weights(fields.get("Weights"))
    port = fields.get("Port", 0)
    service = ServiceDefinition(
        id=fields.get("ID", "") or name,
        name=name,
        port=port,
        address=address,
        tags=fields.get("Tags", ()),
        meta=meta,
        tagged_addresses=_tagged(fields, address, port),
        passing_weight=passing,
        warning_weight=warning,
        enable_tag_override=fields.get("EnableTagOverride", fields.get("enable_tag_override", False)),
    )
    return RegisterBody(service, _service_checks(service, fields))


def _service_checks(service: ServiceDefinition, fields: Mapping[str, Any]) -> tuple[CheckDefinition, ...]:
    single = fields.get("Check", {})
    # A `Check` with nothing but zeros in it is none: some clients send every field.
    wanted = ([single] if any(single.values()) else []) + fields.get("Checks", [])
    if any(one.get("Status", "") not in ("", *STATUSES) for one in wanted):
        raise BadBody("Status for checks must 'passing', 'warning', 'critical'")
    return tuple(
        _check(
            one,
            id=one.get("CheckID", "") or f"service:{service.id}" + (f":{n}" if len(wanted) > 1 else ""),
            name=one.get("Name", "") or f"Service '{service.name}' check",
            service_id=service.id,
        )
        for n, one in enumerate(wanted, 1)
    )


def read_check(body: bytes) -> CheckDefinition:
    """The body of `agent/check/register`. Raises `BadBody`."""
    fields = read_fields(parse_object(body), _CHECK)
    if not (name := fields.get("Name", "")):
        raise BadBody("Missing check name")
    if fields.get("Status", "") not in ("", *STATUSES):
        raise BadBody("Bad check status")
    service_id = fields.get("ServiceID", "") or fields.get("service_id", "")
    return _check(fields, id=fields.get("ID", "") or name, name=name, service_id=service_id)


def read_update(body: bytes) -> tuple[str, str]:
    """(status, output) of the body of `agent/check/update`. Raises `BadBody`."""
    fields = read_fields(parse_object(body), {"Status": text, "Output": text})
    status = fields.get("Status", "")
    if status not in STATUSES:
        raise BadBody(f"Invalid check status: '{status[:64]}'")
    return status, fields.get("Output", "")


def maintenance_check(service: ServiceDefinition, reason: str) -> CheckDefinition:
    """Maintenance mode is a critical check with an id that clients know."""
    return CheckDefinition(
        id=maintenance_id(service.id),
        name="Service Maintenance Mode",
        kind="maintenance",
        service_id=service.id,
        notes=reason or NO_REASON,
    )


def maintenance_id(service_id: str) -> str:
    return f"_service_maintenance:{service_id}"


NO_REASON = (
    "Maintenance mode is enabled for this service, but no reason was provided. This is a default message."
)


def _check(fields: Mapping[str, Any], *, id: str, name: str, service_id: str) -> CheckDefinition:
    if id == SERF_HEALTH:
        raise BadBody(f'The check ID "{SERF_HEALTH}" is the node\'s own: choose another')
    _refuse_unsupported(fields, _UNSUPPORTED_CHECK)
    ttl_s, interval_s = fields.get("TTL", 0.0), fields.get("Interval", 0.0)
    url, address = fields.get("HTTP", ""), fields.get("TCP", "")
    if interval_s > 0 and ttl_s > 0:
        raise BadBody("Invalid check: Interval and TTL cannot both be specified")
    if (url or address) and interval_s <= 0:
        raise BadBody("Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks")
    if not (url or address) and ttl_s <= 0:
        raise BadBody("Invalid check: TTL must be > 0 for TTL checks")
    after = "DeregisterCriticalServiceAfter"
    asked = fields.get("Timeout", 0.0)
    limit = fields.get("OutputMaxSize", 0)
    return CheckDefinition(
        id=id,
        name=name,
        kind="http" if url else "tcp" if address else "ttl",
        service_id=service_id,
        notes=fields.get("Notes", ""),
        status=fields.get("Status", "") or CRITICAL,
        ttl_s=ttl_s,
        target=url or address,
        interval_s=interval_s,
        timeout_s=min(asked, MAX_TIMEOUT_S) if asked > 0 else DEFAULT_TIMEOUT_S,
        method=fields.get("Method", "") or "GET",
        headers=fields.get("Header", {}),
        body=fields.get("Body", ""),
        skip_tls_verify=fields.get("TLSSkipVerify", fields.get("tls_skip_verify", False)),
        deregister_after_s=max(0.0, fields.get(after, 0.0), fields.get(_snake(after), 0.0)),
        success_before_passing=fields.get("SuccessBeforePassing", 0),
        failures_before_critical=fields.get("FailuresBeforeCritical", 0),
        output_max=min(limit, MAX_OUTPUT) if limit > 0 else MAX_OUTPUT,
    )


DEFAULT_TIMEOUT_S = 10.0
MAX_TIMEOUT_S = 60.0
"""A probe that hangs holds one of the places for probes, so not for ever."""


def _weights(fields: Mapping[str, int] | None) -> tuple[int, int]:
    if fields is None:
        return 1, 1
    passing, warning = fields.get("Passing", 0), fields.get("Warning", 0)
    if passing < 1:
        raise BadBody("Invalid Weights: Passing must be greater than 0")
    if warning < 0:
        raise BadBody("Invalid Weights: Warning must be greater or equal than 0")
    if max(passing, warning) > MAX_WEIGHT:
        raise BadBody("Invalid Weights: DNS Weight must be between 0 and 65535")
    return passing, warning


def _tagged(fields: Mapping[str, Any], address: str, port: int) -> dict[str, tuple[str, int]]:
    given = fields.get("TaggedAddresses") or fields.get("tagged_addresses") or {}
    tagged = {name: (one.get("Address", ""), one.get("Port", 0)) for name, one in given.items()}
    try:
        version = ip_address(address).version
    except ValueError:
        return tagged
    for name in (f"lan_ipv{version}", f"wan_ipv{version}"):
        tagged.setdefault(name, (address, port))
    return tagged


def _refuse_unsupported(fields: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if fields.get(name):
            raise BadBody(f"{name} is not supported by the embedded agent: use a real Consul agent for it")


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


_UNSUPPORTED_CHECK = (
    "AliasNode", "AliasService", "Args", "DockerContainerID", "FailuresBeforeWarning", "GRPC", "GRPCUseTLS",
    "H2PING", "H2PingUseTLS", "OSService", "ScriptArgs", "Shell", "TLSServerName", "UDP",
)  # fmt: skip
_UNSUPPORTED_SERVICE = ("Connect", "Locality", "Namespace", "Partition", "Proxy", "SocketPath")

_CHECK_TYPE = {
    **dict.fromkeys(("Name", "Notes", "Status", "HTTP", "Method", "Body", "TCP"), text),
    **dict.fromkeys(("TTL", "Interval", "Timeout"), duration),
    **dict.fromkeys(("DeregisterCriticalServiceAfter", _snake("DeregisterCriticalServiceAfter")), duration),
    **dict.fromkeys(("TLSSkipVerify", "tls_skip_verify", "DisableRedirects"), boolean),
    **dict.fromkeys(("SuccessBeforePassing", "FailuresBeforeCritical", "OutputMaxSize"), whole),
    **dict.fromkeys(_UNSUPPORTED_CHECK, anything),
    "Header": header_map,
}
_CHECK = {**_CHECK_TYPE, **dict.fromkeys(("ID", "ServiceID", "service_id", "Token"), text)}
_SERVICE_CHECK = {**_CHECK_TYPE, "CheckID": text}
_ADDRESS = mapped({"Address": text, "Port": whole})
_SERVICE = {
    **dict.fromkeys(("ID", "Name", "Kind", "Address", "Token"), text),
    **dict.fromkeys(("EnableTagOverride", "enable_tag_override"), boolean),
    **dict.fromkeys(("TaggedAddresses", "tagged_addresses"), _ADDRESS),
    **dict.fromkeys(_UNSUPPORTED_SERVICE, anything),
    "Port": whole,
    "Tags": texts,
    "Meta": text_map,
    "Weights": nested({"Passing": whole, "Warning": whole}),
    "Check": nested(_SERVICE_CHECK),
    "Checks": listed(_SERVICE_CHECK),
}
