"""Services, routes and timeouts: their own checks, and what they say to a call."""

from typing import Any

import pytest
from pydantic import ValidationError

from balancer.model import RetryClass, Timeouts
from balancer.strategies import STRATEGIES
from gateway.settings_routes import RouteSettings, chat_routes, chat_services
from gateway.settings_services import ServiceSettings, TimeoutSettings


def route(**more: Any) -> RouteSettings:
    return RouteSettings.model_validate({"path": "/a", "service": "s", **more})


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"path": "a"}, "path"),
        ({"path": "/a//b"}, "path"),
        ({"path": "/a/../b"}, "path"),
        ({"path": "/{a}/{a}"}, "path"),
        ({"methods": []}, "methods"),
        ({"methods": ["get"]}, "methods"),
        ({"methods": ["TRACE"]}, "methods"),
        ({"service": "../kv"}, "service"),
        ({"access": "everybody"}, "access"),
        ({"retry": "always"}, "retry"),
        ({"methods": ["POST", "PATCH"], "hedge": True}, "hedge"),
        ({"retry": "unsent", "hedge": True}, "hedge"),
        ({"strip_prefix": "/b"}, "strip_prefix"),
        ({"strip_prefix": "/a/b"}, "strip_prefix"),
        ({"strip_prefix": "/a/"}, "strip_prefix"),
        ({"strip_prefix": "/"}, "strip_prefix"),
        ({"strip_prefix": "a"}, "strip_prefix"),
        ({"path": "/{x}/b", "strip_prefix": "/{x}"}, "strip_prefix"),
        ({"path": "/ab/*", "strip_prefix": "/a"}, "strip_prefix"),
        ({"rewrite": "b"}, "rewrite"),
        ({"rewrite": "/{x}"}, "rewrite"),
        ({"rewrite": "/b/*"}, "rewrite"),
        ({"rewrite": "/b?x=1"}, "rewrite"),
        ({"strip_prefix": "/a", "rewrite": "/b"}, "rewrite"),
        ({"set_headers": {"a b": "1"}}, "set_headers"),
        ({"set_headers": {"Host": "1"}}, "set_headers"),
        ({"set_headers": {"X-User-Id": "1"}}, "set_headers"),
        ({"set_headers": {"content-length": "1"}}, "set_headers"),
        ({"set_headers": {"X-A": "a\r\nb"}}, "set_headers"),
        ({"set_headers": {"X-A": "é"}}, "set_headers"),
        ({"set_headers": {"X-A": " a"}}, "set_headers"),
        ({"limit": -1}, "limit"),
        ({"timeouts": {"total_s": 0}}, "timeouts"),
        ({"max_body_bytes": -1}, "max_body_bytes"),
        ({"pass_host": "perhaps"}, "pass_host"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_what_a_route_refuses(values: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as raised:
        route(**values)
    assert [error["loc"][0] for error in raised.value.errors()] == [key]


def test_a_route_without_a_path_or_service() -> None:
    with pytest.raises(ValidationError) as raised:
        RouteSettings.model_validate({"strip_prefix": "/a", "rewrite": "/b"})
    assert {error["loc"][0] for error in raised.value.errors()} == {"path"}
    with pytest.raises(ValidationError, match="must name a service, or have respond or redirect"):
        RouteSettings.model_validate({"path": "/a"})


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"service": "auth", "respond": {}}, "can't have service and respond"),
        ({"respond": {}, "redirect": {"to": "/b"}}, "can't have respond and redirect"),
        ({"respond": {}, "cache": {}}, "cache needs a service"),
        ({"respond": {}, "strip_prefix": "/a"}, "strip_prefix needs a service"),
        ({"redirect": {"to": "b"}}, "redirect.to must be a path, or https://host/path"),
        ({"redirect": {"to": "/b/{id}"}}, "uses id, which the route's path does not name"),
        ({"redirect": {"to": "https://me@host/b"}}, "redirect.to must be a path, or https://host/path"),
        ({"redirect": {"to": "https://host/b/*"}}, "the route's path must end in"),
        (
            {"service": "auth", "subset": {"tag": "v2"}, "versions": {"to": {"2": {"tag": "v2"}}}},
            "can't have subset and versions",
        ),
        ({"service": "auth", "access": "public", "require": {"roles": ["admin"]}}, "are for access: user"),
        ({"service": "auth", "access": "public", "revoke_token": True}, "are for access: user"),
        (
            {"service": "auth", "access": "public", "limits": [{"requests": 5, "per": "user"}]},
            "limits by user or tier are for access: user",
        ),
        (
            {"service": "auth", "access": "internal", "limits": [{"requests": 5, "tiers": {"gold": 9}}]},
            "limits by user or tier are for access: user",
        ),
        ({"service": "auth", "methods": ["POST"], "cache": {}}, "cache is for GET and HEAD"),
        ({"service": "auth", "set_query": {"a": "b c"}}, "set_query"),
        ({"redirect": {"to": "https://host/a?b"}}, "redirect.to must start with /"),
        ({"service": "auth", "remove_headers": ["Cookie", "Host"]}, "host is the gateway's own to set"),
        (
            {"service": "auth", "retry": "keyed", "remove_headers": ["Idempotency-Key"]},
            "is what retry: keyed relies on",
        ),
    ],
)
def test_what_can_not_stand_together(values: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        RouteSettings.model_validate({"path": "/a", **values})


def test_the_services_that_a_route_may_call() -> None:
    versions = {"to": {"1": {"service": "old"}, "2": {"tag": "v2"}}}
    both = RouteSettings.model_validate({"path": "/a", "service": "new", "versions": versions})
    assert both.service_keys() == {"service": "new", "versions.to.1.service": "old"}
    assert RouteSettings.model_validate({"path": "/a", "redirect": {"to": "/b"}}).service_keys() == {}


def test_what_a_route_says_when_it_says_nothing() -> None:
    quiet = route()
    assert quiet.access == "user", "never public by omission"
    assert quiet.pass_host
    assert quiet.limit is None
    assert quiet.header_pairs() == []


def test_paths_that_are_cut_or_rewritten() -> None:
    assert route(path="/a/{x}/*", strip_prefix="/a").strip_prefix == "/a"
    assert route(path="/a/{x}/*", rewrite="/b/{x}/*").rewrite == "/b/{x}/*"
    assert route(path="/a/*", rewrite="/b").rewrite == "/b"
    assert route(strip_prefix="", rewrite="/b").rewrite == "/b"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
def test_what_may_be_repeated_is_retried(method: str) -> None:
    assert route().retry_for(method) is RetryClass.SAFE


@pytest.mark.parametrize("method", ["POST", "PATCH", "PROPFIND"])
def test_what_may_not_is_retried_only_unsent(method: str) -> None:
    assert route().retry_for(method) is RetryClass.UNSENT
    assert route(retry="keyed").retry_for(method) is RetryClass.KEYED


@pytest.mark.parametrize(
    "values",
    [{"connect_s": 2, "total_s": 1}, {"first_byte_s": 2, "total_s": 1}, {"idle_s": 2, "total_s": 1}],
)
def test_a_part_is_no_longer_than_the_whole(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(values))):
        TimeoutSettings.model_validate(values)


def test_timeouts_lie_over_each_other() -> None:
    below = Timeouts(connect_s=1, first_byte_s=15, idle_s=30, total_s=60)
    assert TimeoutSettings().over(below) == below
    assert TimeoutSettings(total_s=5).over(below) == Timeouts(1, 5, 5, 5)
    assert TimeoutSettings(total_s=120, idle_s=90).over(below) == Timeouts(1, 15, 90, 120)


def test_services() -> None:
    assert ServiceSettings().strategy == "least_connections"
    for name in STRATEGIES:
        assert ServiceSettings(strategy=name).strategy == name
    for values in ({"strategy": "luck"}, {"max_attempts": 0}, {"max_attempts": 11}, {"instances": ["a:1"]}):
        with pytest.raises(ValidationError):
            ServiceSettings.model_validate(values)


def test_the_chat_system() -> None:
    assert {route.service for route in chat_routes()} == set(chat_services())


@pytest.mark.parametrize("values", [{}, {"methods": ["GET", "POST"]}, {"methods": ["POST"], "retry": "safe"}])
def test_what_may_be_sent_twice_may_be_hedged(values: dict[str, Any]) -> None:
    assert route(hedge=True, **values).hedge
