"""Imports go one way: gateway -> {balancer, handlers} -> registry."""

from tests.project.source import PACKAGES, Source, sources

HOUSE = sources(*PACKAGES)
MAY_IMPORT = {
    "registry": {"registry"},
    "balancer": {"balancer", "registry"},
    "handlers": {"handlers", "registry"},
    "gateway": set(PACKAGES),
}


def imported_by(source: Source) -> set[str]:
    """Packages."""
    return {name.split(".")[0] for name in source.imports}


def test_packages_import_one_way() -> None:
    for source in HOUSE:
        own = imported_by(source) & {*PACKAGES, "examples", "tests", "bench"}
        # `quaymaster demo` exists to run the example, so that one file may know it.
        extra = {"examples"} if source.name == "gateway/runtime/demo.py" else set()
        assert own <= MAY_IMPORT[source.package] | extra, source.name


def test_redis_and_consul_stay_in_their_rooms() -> None:
    using = {name: [s.name for s in HOUSE if name in imported_by(s)] for name in ("redis", "consul")}
    assert using["consul"] == ["registry/backends/consul.py"]
    for name in using["redis"]:
        assert name.split("/")[1] in {"stores", "limiters", "sinks"}, name


def test_consuls_wire_format_stays_in_its_room() -> None:
    room = ("registry/backends/consul.py", "registry/agent/")
    for source in HOUSE:
        spoken = [text for text in source.strings() if "/v1/" in text or "X-Consul" in text]
        assert not spoken or source.name.startswith(room), source.name
