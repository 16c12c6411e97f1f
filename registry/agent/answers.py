"""The catalogue in the shapes of Consul's answers. Pure.

Field names, their order and what is `null` are those of Consul 1.8.7.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from registry.agent.catalog import Catalog
from registry.agent.definitions import PASSING, SERF_HEALTH, ServiceDefinition
from registry.agent.records import Check, Service

Json = dict[str, Any]

VERSION = "1.8.7"
"""The Consul whose API this is. `Revision` says that it is not that program."""


@dataclass(frozen=True, slots=True)
class Node:
    """The one node there is."""

    name: str
    address: str
    """Where a service lives that registered without an address."""
    datacenter: str = "dc1"
    index: int = 1
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", str(uuid5(NAMESPACE_DNS, self.name)))

    @property
    def tagged_addresses(self) -> dict[str, str]:
        version = ip_address(self.address).version
        return dict.fromkeys(("lan", f"lan_ipv{version}", "wan", f"wan_ipv{version}"), self.address)


def agent_services(catalog: Catalog) -> Json:
    return {s.definition.id: _agent_service(s.definition) for s in catalog.services()}


def agent_checks(catalog: Catalog, node: Node) -> Json:
    return {
        c.definition.id: _check(catalog, node, c) | {"CreateIndex": 0, "ModifyIndex": 0}
        for c in catalog.checks()
    }


def agent_self(catalog: Catalog, node: Node, port: int) -> Json:
    counts = {"checks": len(catalog.checks()), "services": len(catalog.services())}
    return {
        "Config": {
            "Datacenter": node.datacenter,
            "NodeName": node.name,
            "NodeID": node.id,
            "Revision": "quaymaster-embedded",
            "Server": True,
            "Version": VERSION,
        },
        "DebugConfig": {},
        "Coord": None,
        "Member": {
            "Name": node.name,
            "Addr": node.address,
            "Port": port,
            "Tags": {"dc": node.datacenter, "id": node.id, "role": "consul"},
            "Status": 1,
        },
        "Stats": {"agent": {name: str(count) for name, count in counts.items()}},
        "Meta": {"consul-network-segment": ""},
    }


def health_service(
    catalog: Catalog, node: Node, name: str, tags: Iterable[str] = (), *, passing: bool = False
) -> list[Json]:
    """Instances with their checks and the node's; `passing` leaves out those with any worse check."""
    of_node = [_serf_health(node), *(_check(catalog, node, c) for c in catalog.checks_of(""))]
    entries = [
        {
            "Node": _node(node),
            "Service": _health_service(service),
            "Checks": of_node + [_check(catalog, node, c) for c in catalog.checks_of(service.definition.id)],
        }
        for service in tagged(catalog.instances(name), tags)
    ]
    return [entry for entry in entries if _passes(entry)] if passing else entries


def _passes(entry: Json) -> bool:
    return all(check["Status"] == PASSING for check in entry["Checks"])


def health_checks(catalog: Catalog, node: Node, name: str) -> list[Json]:
    return [
        _check(catalog, node, check)
        for service in catalog.instances(name)
        for check in catalog.checks_of(service.definition.id)
    ]


def health_state(catalog: Catalog, node: Node, state: str) -> list[Json]:
    return [check for check in _all_checks(catalog, node) if state in ("any", check["Status"])]


def health_node(catalog: Catalog, node: Node, name: str) -> list[Json]:
    return _all_checks(catalog, node) if name.lower() == node.name.lower() else []


def catalog_services(catalog: Catalog) -> Json:
    """Names with the tags of all their instances."""
    found: dict[str, set[str]] = {}
    for service in catalog.services():
        found.setdefault(service.definition.name, set()).update(service.definition.tags)
    return {name: sorted(found[name]) for name in sorted(found)}


def catalog_service(catalog: Catalog, node: Node, name: str, tags: Iterable[str] = ()) -> list[Json]:
    return [_catalog_service(node, service) for service in tagged(catalog.instances(name), tags)]


def tagged(services: Iterable[Service], tags: Iterable[str]) -> list[Service]:
    """Those that have all the tags; case does not matter, as in Consul."""
    wanted = {tag.lower() for tag in tags}
    return [s for s in services if wanted <= {tag.lower() for tag in s.definition.tags}]


def _all_checks(catalog: Catalog, node: Node) -> list[Json]:
    checks = [_serf_health(node), *(_check(catalog, node, c) for c in catalog.checks())]
    return sorted(checks, key=lambda check: str(check["CheckID"]))


def _node(node: Node) -> Json:
    return {
        "ID": node.id,
        "Node": node.name,
        "Address": node.address,
        "Datacenter": node.datacenter,
        "TaggedAddresses": node.tagged_addresses,
        "Meta": {"consul-network-segment": ""},
        "CreateIndex": node.index,
        "ModifyIndex": node.index,
    }


def _serf_health(node: Node) -> Json:
    """The node is alive: it is the process that answers."""
    return {
        "Node": node.name,
        "CheckID": SERF_HEALTH,
        "Name": "Serf Health Status",
        "Status": PASSING,
        "Notes": "",
        "Output": "Agent alive and reachable",
        "ServiceID": "",
        "ServiceName": "",
        "ServiceTags": [],
        "Type": "",
        "Definition": {},
        "CreateIndex": node.index,
        "ModifyIndex": node.index,
    }


def _check(catalog: Catalog, node: Node, check: Check) -> Json:
    service = catalog.service(check.definition.service_id)
    return {
        "Node": node.name,
        "CheckID": check.definition.id,
        "Name": check.definition.name,
        "Status": check.status,
        "Notes": check.definition.notes,
        "Output": check.output,
        "ServiceID": check.definition.service_id,
        "ServiceName": service.definition.name if service else "",
        "ServiceTags": service.definition.tags if service else (),
        "Type": check.definition.kind,
        "Definition": {},
        "CreateIndex": check.create_index,
        "ModifyIndex": check.modify_index,
    }


def _agent_service(service: ServiceDefinition) -> Json:
    return {
        "ID": service.id,
        "Service": service.name,
        "Tags": service.tags,
        "Meta": service.meta,
        "Port": service.port,
        "Address": service.address,
        **_with_tagged_addresses("TaggedAddresses", service),
        "Weights": _weights(service),
        "EnableTagOverride": service.enable_tag_override,
    }


def _health_service(service: Service) -> Json:
    definition = service.definition
    return {
        "ID": definition.id,
        "Service": definition.name,
        "Tags": definition.tags,
        "Address": definition.address,
        **_with_tagged_addresses("TaggedAddresses", definition),
        "Meta": definition.meta or None,
        "Port": definition.port,
        "Weights": _weights(definition),
        "EnableTagOverride": definition.enable_tag_override,
        "Proxy": {"MeshGateway": {}, "Expose": {}},
        "Connect": {},
        "CreateIndex": service.create_index,
        "ModifyIndex": service.modify_index,
    }


def _catalog_service(node: Node, service: Service) -> Json:
    definition = service.definition
    return {
        "ID": node.id,
        "Node": node.name,
        "Address": node.address,
        "Datacenter": node.datacenter,
        "TaggedAddresses": node.tagged_addresses,
        "NodeMeta": {"consul-network-segment": ""},
        "ServiceKind": "",
        "ServiceID": definition.id,
        "ServiceName": definition.name,
        "ServiceTags": definition.tags,
        "ServiceAddress": definition.address,
        **_with_tagged_addresses("ServiceTaggedAddresses", definition),
        "ServiceWeights": _weights(definition),
        "ServiceMeta": definition.meta,
        "ServicePort": definition.port,
        "ServiceEnableTagOverride": definition.enable_tag_override,
        "ServiceProxy": {"MeshGateway": {}, "Expose": {}},
        "ServiceConnect": {},
        "CreateIndex": service.create_index,
        "ModifyIndex": service.modify_index,
    }


def _weights(service: ServiceDefinition) -> Json:
    return {"Passing": service.passing_weight, "Warning": service.warning_weight}


def _with_tagged_addresses(key: str, service: ServiceDefinition) -> Json:
    """Left out when there are none, as Consul does."""
    if not service.tagged_addresses:
        return {}
    return {
        key: {
            name: {"Address": address, "Port": port}
            for name, (address, port) in service.tagged_addresses.items()
        }
    }
