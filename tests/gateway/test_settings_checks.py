"""What two sections say of each other."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.routes import LOCAL_PATHS
from gateway.settings_checks import Draft, cross_problems
from gateway.settings_handlers import HandlersSettings
from gateway.settings_identity import IdentitySettings
from gateway.settings_model import (
    ListenSettings,
    StoreSettings,
)
from gateway.settings_registry import RegistrySettings
from gateway.settings_routes import RouteSettings
from gateway.settings_services import HashSettings, ServiceSettings
from gateway.settings_telemetry import DocsSettings, HealthSettings

SECRET = "a secret of no less than 32 bytes"


def route(path: str = "/a", **more: Any) -> RouteSettings:
    return RouteSettings.model_validate({"path": path, "service": "s", "access": "public", **more})


def problems(*routes: RouteSettings, **sections: Any) -> dict[str, str]:
    draft = Draft(
        **{"service_names": frozenset({"s"}), "services": {"s": ServiceSettings()}, **sections},
        routes=dict(enumerate(routes)),
    )
    return {problem.key: problem.message for problem in cross_problems(draft)}


def test_parts_that_are_not_valid_are_passed_over() -> None:
    assert list(cross_problems(Draft())) == []


def test_a_routes_service_exists() -> None:
    found = problems(route(), route("/b", service="t"))
    assert found == {"routes[1].service": "there is no service 't'; known: s"}


def test_only_registered_instances_have_tags() -> None:
    versions = {"to": {"1": {"service": "fixed"}, "2": {"service": "fixed", "tag": "v2"}, "3": {"tag": "v3"}}}
    routes = [
        route(versions=versions),
        route("/b", service="fixed", subset={"tag": "v2"}),
        route("/c", subset={"tag": "v2"}),
        route("/d", service="fixed"),
    ]
    fixed = ServiceSettings.model_validate({"instances": ["http://127.0.0.1:9"]})
    found = problems(*routes, services={"s": ServiceSettings(), "fixed": fixed}, service_names={"s", "fixed"})
    assert set(found) == {"routes[0].versions.to.2.tag", "routes[1].subset.tag"}
    assert "those have no tags" in found["routes[1].subset.tag"]


def test_a_services_name_counts_although_it_is_not_valid_itself() -> None:
    assert problems(route(service="t"), service_names=frozenset({"t"}), services={}) == {}


@pytest.mark.parametrize("path", sorted(LOCAL_PATHS))
def test_a_route_never_hides_the_gateways_own_endpoints(path: str) -> None:
    assert set(problems(route(path))) == {"routes[0].path"}


def redirect(path: str, to: str) -> RouteSettings:
    return route(path, service=None, redirect={"to": to})


@pytest.mark.parametrize(
    ("routes", "circling"),
    [
        ([redirect("/a", "/%61")], [0]),
        ([redirect("/a/*", "/a/b/*")], [0]),
        ([redirect("/*", "/en/*")], [0]),
        ([redirect("/*", "/en/*"), route("/en/*")], []),
        ([redirect("/*", "/en/*"), route("/en/{page}")], []),
        ([redirect("/{a}/{b}", "/{b}/{a}")], [0]),
        ([redirect("/a", "/b"), redirect("/b", "/c"), redirect("/c", "/a")], [0, 1, 2]),
        ([redirect("/a", "/b"), redirect("/b", "/c"), redirect("/c", "/b")], [1, 2]),
        ([redirect("/a", "/b"), redirect("/b", "/c")], []),
        ([redirect("/a/*", "https://elsewhere.example/a/*")], []),
        ([redirect("/a", "/b"), redirect("/b", "https://elsewhere.example/a")], []),
    ],
)
def test_no_client_is_sent_in_circles(routes: list[RouteSettings], circling: list[int]) -> None:
    assert list(problems(*routes)) == [f"routes[{number}].redirect.to" for number in circling]


@pytest.mark.parametrize("path", ["/docs", "/docs/x", "/docs/*", "/openapi.json"])
def test_without_docs_their_paths_are_the_routes_to_have(path: str) -> None:
    assert set(problems(route(path))) == {"routes[0].path"}
    assert problems(route(path), docs=DocsSettings(enabled=False)) == {}


def test_another_name_of_health_is_nobody_elses() -> None:
    health = HealthSettings(aliases=("/status", "/ping", "/docs/x"))
    found = problems(route("/status"), health=health)
    assert set(found) == {"routes[0].path", "health.aliases[1]", "health.aliases[2]"}


def test_a_broad_route_may_lie_around_them() -> None:
    assert problems(route("/*"), route("/health/*"), route("/{x}")) == {}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (route("/a", methods=["GET"]), route("/a", methods=["POST"]), False),
        (route("/a", methods=["GET", "POST"]), route("/a", methods=["POST"]), True),
        (route("/a/{x}", methods=["GET"]), route("/a/{y}", methods=["GET"]), True),
        (route("/a"), route("/%61"), True),
        (route("/a"), route("/a/"), False),
        (route("/a/*"), route("/a/{x}"), False),
        (route("/a", methods=["GET", "GET"]), route("/b"), False),
    ],
)
def test_no_route_stands_there_twice(one: RouteSettings, other: RouteSettings, same: bool) -> None:
    found = problems(one, other)
    assert set(found) == ({"routes[1]"} if same else set())
    assert not same or "routes[0]" in found["routes[1]"]


def test_a_missing_secret_names_who_needs_it() -> None:
    routes = [route("/a"), route("/b", access="user")]
    found = problems(*routes, identity=IdentitySettings(), handlers=HandlersSettings())
    assert found["identity.secret"] == (
        "is not set, but routes[1] (/b) and the handlers pool need it to check tokens: "
        "set JWT_SECRET, or this key, to at least 32 bytes; without WebSocket handlers say `handlers: null`"
    )
    alone = problems(route(), identity=IdentitySettings(), handlers=HandlersSettings())
    assert "but the handlers pool needs it" in alone["identity.secret"]
    nobody_else = problems(route(access="user"), identity=IdentitySettings())
    assert nobody_else["identity.secret"].endswith("at least 32 bytes")
    many = [route(f"/{name}", access="user") for name in "abcdef"]
    assert "and 3 more need it" in problems(*many, identity=IdentitySettings())["identity.secret"]


def test_a_secret_that_nobody_needs_may_be_missing() -> None:
    assert problems(route(), route("/b", access="internal"), identity=IdentitySettings()) == {}
    assert (
        problems(handlers=HandlersSettings(), identity=IdentitySettings.model_validate({"secret": SECRET}))
        == {}
    )


def test_a_missing_public_key_likewise() -> None:
    found = problems(handlers=HandlersSettings(), identity=IdentitySettings(algorithms=("ES256",)))
    assert set(found) == {"identity.public_key"}


def test_a_public_key_fits_its_algorithms() -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for algorithm, good in (("EdDSA", True), ("RS256", False)):
        identity = IdentitySettings.model_validate({"algorithms": [algorithm], "public_key": pem})
        assert set(problems(identity=identity)) == (set() if good else {"identity.public_key"})


def test_gateways_that_share_a_store_sign_tickets_alike() -> None:
    shared = StoreSettings.model_construct(backend="shared")
    assert set(problems(store=shared, handlers=HandlersSettings())) == {"handlers.secret"}
    signed = HandlersSettings.model_validate({"secret": SECRET})
    assert problems(store=shared, handlers=signed) == {}
    assert problems(store=StoreSettings(), handlers=HandlersSettings()) == {}
    assert problems(store=shared) == {}


def test_without_a_registry_everything_has_fixed_addresses() -> None:
    static = RegistrySettings(backend="static")
    fixed = ServiceSettings.model_validate({"instances": ["http://127.0.0.1:1"]})
    assert set(problems(registry=static)) == {"services.s.instances"}
    assert problems(registry=static, services={"s": fixed}) == {}
    found = problems(registry=static, services={"s": fixed}, handlers=HandlersSettings())
    assert set(found) == {"handlers.service"}
    pools = HandlersSettings.model_validate({"pools": {"chat": {"service": "s"}, "feed": {"service": "t"}}})
    found = problems(registry=static, services={"s": fixed}, handlers=pools)
    assert set(found) == {"handlers.pools.feed.service"}
    assert problems(registry=RegistrySettings(), handlers=HandlersSettings()) == {}


@pytest.mark.parametrize(
    ("host", "port", "address", "clash"),
    [
        ("127.0.0.1", 8500, "127.0.0.1:8500", True),
        ("0.0.0.0", 8500, "127.0.0.1:8500", True),
        ("127.0.0.1", 8500, "127.0.0.2:8500", False),
        ("127.0.0.1", 8000, "127.0.0.1:8500", False),
        ("127.0.0.1", 0, "127.0.0.1:0", False),
    ],
)
def test_the_embedded_agent_has_a_port_of_its_own(host: str, port: int, address: str, clash: bool) -> None:
    listen = ListenSettings(host=host, port=port)
    assert bool(problems(listen=listen, registry=RegistrySettings(address=address))) is clash


def test_consul_may_be_where_the_settings_say() -> None:
    """What is wrong with that is told by whoever can't bind the port."""
    consul = RegistrySettings(address="127.0.0.1:8500", backend="consul")
    assert problems(listen=ListenSettings(port=8500), registry=consul) == {}


def test_users_are_known_only_where_a_route_asks_for_them() -> None:
    by_user = {"s": ServiceSettings.model_construct(hash=HashSettings(by="uid"))}
    assert set(problems(route(), services=by_user)) == {"services.s.hash.by"}
    identity = IdentitySettings.model_validate({"secret": SECRET})
    assert problems(route(), route("/b", access="user"), services=by_user, identity=identity) == {}


def test_room_in_a_zone_needs_a_zone() -> None:
    services = {"s": ServiceSettings(zone_room=3)}
    assert set(problems(zone="", services=services)) == {"services.s.zone_room"}
    assert problems(zone="east", services=services) == {}
    assert problems(zone=None, services=services) == {}
    assert problems(zone="") == {}


@pytest.mark.parametrize("backend", ["embedded", "consul", "static"])
def test_two_gateways_at_a_time_need_a_registry_that_outlives_one(backend: str) -> None:
    listen, registry = ListenSettings(handover="/run/x"), RegistrySettings(backend=backend)
    assert ("listen.handover" in problems(listen=listen, registry=registry)) == (backend == "embedded")


def test_a_header_that_carries_a_claim_is_not_a_routes_to_set() -> None:
    identity = IdentitySettings.model_validate({"claim_headers": {"X-User-Roles": "roles"}})
    setting = route("/b", set_headers={"x_user_roles": "admin", "X-Via": "q"})
    found = problems(route(set_headers={"X-Via": "q"}), setting, identity=identity)
    assert set(found) == {"routes[1].set_headers"}
    assert "x_user_roles carries a claim" in found["routes[1].set_headers"]


def test_a_probe_hides_no_service_in_health() -> None:
    health = HealthSettings.model_validate(
        {"probes": {"s": {"url": "tcp://db:1"}, "db": {"url": "tcp://db:1"}}}
    )
    assert set(problems(health=health)) == {"health.probes.s"}
