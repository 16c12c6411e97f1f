"""The values; that the shapes are Consul's is the contract suite's business."""

from registry.agent import answers
from registry.agent.answers import Node
from registry.agent.catalog import Catalog
from registry.agent.definitions import CheckDefinition, ServiceDefinition

NODE = Node("here", "127.0.0.1", index=5)


def filled() -> Catalog:
    catalog = Catalog()
    for id, tags, status in [
        ("w2", ("Blue", "b"), "passing"),
        ("w1", ("b",), "warning"),
        ("w3", (), "passing"),
    ]:
        check = CheckDefinition(f"c-{id}", "c", "ttl", id, status=status, ttl_s=10)
        catalog.register(ServiceDefinition(id, "web", 80, tags=tags), [check], 0.0)
    return catalog


def found(catalog: Catalog, *tags: str, passing: bool = False) -> list[str]:
    entries = answers.health_service(catalog, NODE, "web", tags, passing=passing)
    return [entry["Service"]["ID"] for entry in entries]


def test_instances_come_ordered_and_with_the_nodes_check_first() -> None:
    (first, *_) = answers.health_service(filled(), NODE, "web")
    assert found(filled()) == ["w1", "w2", "w3"]
    assert [check["CheckID"] for check in first["Checks"]] == ["serfHealth", "c-w1"]
    assert first["Node"]["Address"] == "127.0.0.1"


def test_passing_leaves_out_any_worse_check() -> None:
    catalog = filled()
    assert found(catalog, passing=True) == ["w2", "w3"]
    catalog.add_check(CheckDefinition("disk", "disk", "ttl", ttl_s=10, status="warning"), 0.0)
    assert found(catalog, passing=True) == []
    assert len(found(catalog)) == 3


def test_all_tags_are_needed_whatever_their_case() -> None:
    catalog = filled()
    assert found(catalog, "blue") == ["w2"]
    assert found(catalog, "B", "bLuE") == ["w2"]
    assert found(catalog, "b") == ["w1", "w2"]
    assert found(catalog, "") == []


def test_the_names_carry_all_tags() -> None:
    assert answers.catalog_services(filled()) == {"web": ["Blue", "b"]}


def test_checks_by_state_by_node_and_by_service() -> None:
    catalog = filled()
    ids = [check["CheckID"] for check in answers.health_state(catalog, NODE, "any")]
    assert ids == ["c-w1", "c-w2", "c-w3", "serfHealth"]
    assert [c["CheckID"] for c in answers.health_state(catalog, NODE, "warning")] == ["c-w1"]
    assert answers.health_state(catalog, NODE, "odd") == []
    assert len(answers.health_node(catalog, NODE, "HERE")) == 4
    assert answers.health_node(catalog, NODE, "there") == []
    assert [c["ServiceID"] for c in answers.health_checks(catalog, NODE, "web")] == ["w1", "w2", "w3"]


def test_no_meta_and_no_addresses_are_shown_as_consul_shows_them() -> None:
    catalog = filled()
    service = answers.health_service(catalog, NODE, "web")[0]["Service"]
    assert service["Meta"] is None
    assert "TaggedAddresses" not in service
    assert answers.agent_services(catalog)["w1"]["Meta"] == {}
    assert answers.catalog_service(catalog, NODE, "web")[0]["ServiceMeta"] == {}


def test_the_agents_own_view_has_no_indexes() -> None:
    check = answers.agent_checks(filled(), NODE)["c-w1"]
    assert (check["CreateIndex"], check["ModifyIndex"]) == (0, 0)


def test_the_node_keeps_its_id() -> None:
    assert Node("here", "::1").id == NODE.id
    assert Node("here", "::1").tagged_addresses == dict.fromkeys(
        ("lan", "lan_ipv6", "wan", "wan_ipv6"), "::1"
    )
    assert answers.agent_self(filled(), NODE, 8500)["Stats"]["agent"] == {"checks": "3", "services": "3"}
