"""Imports go one way: gateway -> {balancer, handlers} -> registry."""

import pytest

from tests.project.source import PACKAGES, Source, sources

HOUSE = sources(*PACKAGES)
MAY_IMPORT = {
    "registry": {"registry"},
    "balancer": {"balancer", "registry"},
    "handlers": {"handlers", "registry"},
    "gateway": set(PACKAGES),
}


@pytest.mark.parametrize("source", HOUSE, ids=str)
def test_packages_import_one_way(source: Source) -> None:
    own = {name.split(".")[0] for name in source.imports()} & {*PACKAGES, "examples", "tests", "bench"}
    # `quaymaster demo` exists to run the example, so that one file may know it.
    extra = {"examples"} if source.name == "gateway/runtime/demo.py" else set()
    assert own <= MAY_IMPORT[source.package] | extra


@pytest.mark.parametrize("source", HOUSE, ids=str)
def test_redis_and_consul_stay_in_their_rooms(source: Source) -> None:
    imported = {name.split(".")[0] for name in source.imports()}
    if "redis" in imported:
        assert source.name.split("/")[1] in {"stores", "limiters", "sinks"}
    if "consul" in imported:
        assert source.name == "registry/backends/consul.py"


@pytest.mark.parametrize("source", HOUSE, ids=str)
def test_consuls_wire_format_stays_in_its_room(source: Source) -> None:
    if source.name == "registry/backends/consul.py" or source.name.startswith("registry/agent/"):
        return
    spoken = [text for text in source.strings() if "/v1/" in text or "X-Consul" in text]
    assert not spoken
