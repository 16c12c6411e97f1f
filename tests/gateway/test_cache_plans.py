"""What a route's settings come to for the cache."""

from typing import Any

import pytest

from balancer.model import Subset
from gateway.cache_plans import DROPS, plan_of
from gateway.caching import Plan
from gateway.settings import Settings
from tests.gateway.runtime.gateways import settings_of

KEPT = {
    "path": "/a/{id}",
    "service": "auth",
    "access": "public",
    "cache": {"ttl_s": 5, "stale_if_error_s": 7},
}


def settings(*routes: dict[str, Any]) -> Settings:
    return settings_of(routes=routes)


def plan(*routes: dict[str, Any], method: str = "GET", **more: Any) -> Plan | None:
    """Of the first route."""
    made = settings(*routes)
    version, subset = more.pop("version", None), more.pop("subset", None)
    route = made.routes[0]
    return plan_of(made, route, method, made.policy(route, method, None, subset), version)


def test_what_the_settings_say() -> None:
    found = plan(
        KEPT | {"cache": {"ttl_s": 5, "stale_if_error_s": 7, "vary": ["X-B", "x-a"], "per_user": False}}
    )
    assert found is not None
    assert (found.ttl_s, found.stale_if_error_s) == (5, 7)
    assert (found.vary, found.per_user, found.reads) == ((b"x-a", b"x-b"), False, True)


def test_without_a_cache_there_is_no_plan() -> None:
    plain = {key: value for key, value in KEPT.items() if key != "cache"}
    assert plan(plain) is None
    assert plan(plain, method="POST") is None
    assert plan(KEPT, method="OPTIONS") is None


def test_get_and_head_of_one_route_are_one() -> None:
    assert plan(KEPT) == plan(KEPT, method="HEAD")


def test_methods_that_change_something_drop_what_is_kept_at_the_same_paths() -> None:
    assert plan(KEPT, method="POST") is DROPS
    reading = KEPT | {"methods": ["GET"]}
    changing = {"path": "/a/{name}", "methods": ["PUT"], "service": "auth", "access": "public"}
    assert plan(changing, reading, method="PUT") is DROPS
    assert plan(changing | {"path": "/b/{name}"}, reading, method="PUT") is None


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/a/{name}"},
        {"access": "internal"},
        {"set_headers": {"X-A": "secret"}},
        {"remove_headers": ["X-A"]},
        {"pass_host": False},
        {"cache": {"per_user": False}},
        {"cache": {"vary": ["X-A"]}},
        {"versions": {"header": "X-V", "to": {"1": {"service": "auth"}}}},
    ],
)
def test_what_makes_other_answers_is_in_its_id(change: dict[str, Any]) -> None:
    one, other = plan(KEPT), plan(KEPT | change)
    assert one is not None
    assert other is not None
    assert one.id != other.id


def test_how_long_they_are_kept_is_not() -> None:
    one, other = plan(KEPT), plan(KEPT | {"cache": {"ttl_s": 50}})
    assert one is not None
    assert other is not None
    assert one.id == other.id


def test_versions_and_subsets_are_apart_and_so_is_the_header_that_names_them() -> None:
    versions = {"versions": {"header": "X-V", "to": {"1": {"service": "auth"}}}}
    made = [plan(KEPT), plan(KEPT, version="1"), plan(KEPT, subset=Subset("v1"))]
    made += [plan(KEPT, subset=Subset("v1", inside=False)), plan(KEPT | versions)]
    assert len({found.id for found in made if found}) == 5
    assert made[-1] is not None
    assert made[-1].vary == (b"x-v",)
