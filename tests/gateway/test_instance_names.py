"""Instances by the names that callers use."""

import pytest

from gateway.instance_names import MAX_SERVICES, InstanceNames
from registry.model import Instance, InstanceId, ServiceName, ServiceSnapshot, Status, snapshot

AUTH = ServiceName("auth")


def instance(name: str, port: int, service: ServiceName = AUTH) -> Instance:
    return Instance(InstanceId(name), service, "10.0.0.1", port, "10.0.0.1")


def known(*instances: Instance, service: ServiceName = AUTH) -> ServiceSnapshot:
    return snapshot(service, Status.KNOWN, instances=instances)


A, B, TWIN = instance("a", 1), instance("b,b", 2), instance("twin", 2)
THERE = known(A, B, TWIN)


@pytest.mark.parametrize(
    ("id", "url", "found"),
    [
        ("a", None, [A]),
        (None, "http://10.0.0.1:1", [A]),
        (None, "http://10.0.0.1:1/", [A]),
        ("a", "http://10.0.0.1:1", [A]),
        ("a", "http://10.0.0.1:1/", [A]),
        (None, "http://10.0.0.1:2", [B, TWIN]),
        ("twin", "http://10.0.0.1:2", [TWIN]),
        ("a", "http://10.0.0.1:2", []),
        ("c", None, []),
        (None, "http://10.0.0.1:3", []),
        (None, None, []),
    ],
)
def test_instances_are_found_by_what_was_handed_out(
    id: str | None, url: str | None, found: list[Instance]
) -> None:
    assert InstanceNames().find(THERE, id=id, url=url) == found


def test_many_names_are_ids_or_urls_or_nobodys() -> None:
    names = InstanceNames()
    assert names.ids(THERE, {"b,b", "http://10.0.0.1:1/", "gone", ""}) == {"a", "b,b"}
    assert names.ids(THERE, {"http://10.0.0.1:2"}) == {"b,b", "twin"}


def test_news_of_a_service_are_read() -> None:
    names = InstanceNames()
    assert names.find(known(A), id="twin") == []
    assert names.find(known(A, TWIN), id="twin") == [TWIN]
    assert names.find(known(), id="twin") == []


def test_no_more_is_kept_than_there_is_room_for() -> None:
    names = InstanceNames()
    for number in range(MAX_SERVICES + 3):
        service = ServiceName(f"s{number}")
        assert names.find(known(instance("a", 1, service), service=service), id="a")
    assert repr(names) == "<InstanceNames: of 3 services>"
