"""What a request line leads to, and that it is remembered without growing."""

from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.runtime.endpoints.endpoint import Endpoint
from gateway.runtime.exchange import NO_ROUTE, Exchange
from gateway.runtime.places import REMEMBERED_LENGTH, Place, Places
from gateway.runtime.reply import Reply
from gateway.settings import Settings
from gateway.target import BadTarget

ROUTES = [
    {"path": "/auth/*", "service": "auth", "methods": ["GET", "POST"], "access": "public"},
    {"path": "/limited", "service": "auth", "access": "public", "limit": 3},
    {"path": "/query", "service": "auth", "set_query": {"v": "2"}, "remove_query": ["debug"]},
    {"path": "/robots.txt", "access": "public", "respond": {"body": "Disallow: /"}},
    {"path": "/old/{id}", "access": "internal", "redirect": {"to": "/new/{id}", "status": 301}},
    {"path": "/split", "service": "auth", "subset": {"tag": "v2", "weight": 5}},
]
NO_LIMITS = {"per_address": None, "per_user": None}


async def never(_: Exchange) -> None:
    raise AssertionError("nobody is answered here")


def places(**sections: Any) -> Places:
    settings = Settings.model_validate(
        {"services": {"auth": {}}, "routes": ROUTES, "handlers": None, "limits": NO_LIMITS, **sections}
    )
    endpoints = [
        Endpoint("/ping", ("GET",), "public", never, limited=True),
        Endpoint("/ws/", ("GET",), "public", never, head=False, prefix=True),
        Endpoint("/ws/chat/", ("GET",), "public", never, head=False, prefix=True),
    ]
    return Places(settings, endpoints)


def find(of: Places, method: str, target: str, hosts: tuple[str, ...] = ("a",)) -> Place:
    found = of.find(method, target, (1, 1), hosts)
    assert isinstance(found, Place), found
    return found


@pytest.mark.parametrize(
    ("method", "target", "name"),
    [
        ("GET", "/ping", "/ping"),
        ("HEAD", "/ping?x", "/ping"),
        ("GET", "/ws/one", "/ws/"),
        ("GET", "/ws/chat", "/ws/"),
        ("GET", "/ws/chat/one", "/ws/chat/"),
        ("POST", "/auth/login", "/auth/*"),
    ],
)
def test_endpoints_prefixes_and_routes_are_found(method: str, target: str, name: str) -> None:
    place = find(places(), method, target)
    assert (place.name, place.end) == (name, None)
    assert (place.endpoint is None) is name.startswith("/auth")
    assert (place.prepared is None) is not name.startswith("/auth")


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("POST", "/ping", 405), ("DELETE", "/auth/x", 405), ("GET", "/nowhere", 404), ("HEAD", "/ws/one", 405)],
)
def test_an_answer_that_nobody_can_change_is_known_at_once(method: str, target: str, status: int) -> None:
    place = find(places(), method, target)
    assert isinstance(place.end, GatewayError)
    assert place.end.status == status
    assert (place.name == NO_ROUTE) is (target in ("/auth/x", "/nowhere"))


def test_what_the_server_can_do_is_said_to_everybody() -> None:
    place = find(places(), "OPTIONS", "*")
    assert isinstance(place.end, Reply)
    assert place.end.status == 204


def test_a_request_line_that_is_none_leads_nowhere() -> None:
    assert places().find("GET", "/a/../b", (1, 1), ("a",)) is BadTarget.BAD_PATH
    assert places().find("GET", "/", (1, 1), ("a", "b")) is BadTarget.BAD_HOST
    assert places().find("GET", "/", (1, 1), ()) is BadTarget.BAD_HOST


def test_query_and_escapes_go_upstream_as_they_came() -> None:
    place = find(places(), "GET", "/auth/%7Ex?y=%20z")
    assert place.upstream_target == "/auth/%7Ex?y=%20z"
    assert place.target.query == "?y=%20z"


def test_only_hosts_that_are_listed_lead_anywhere() -> None:
    of = places(listen={"allowed_hosts": ["api.example.org", "*.example.net"]})
    for host in ("api.example.org", "API.example.org:8000", "a.b.example.net"):
        assert find(of, "GET", "/ping", (host,)).end is None
    for target, hosts in (("/ping", ("evil.example",)), ("/auth/x", ("example.net",)), ("*", ("a",))):
        end = find(of, "OPTIONS" if target == "*" else "GET", target, hosts).end
        assert isinstance(end, GatewayError)
        assert (end.status, end.reason) == (421, "unknown_host")


def test_an_absolute_target_says_the_host_and_http_1_0_may_say_none() -> None:
    of = places(listen={"allowed_hosts": ["api.example.org"]})

    def end(target: str, *hosts: str) -> object:
        found = of.find("GET", target, (1, 0), hosts)
        assert isinstance(found, Place)
        return found.end

    assert end("http://api.example.org/ping") is None
    assert end("http://api.example.org/ping", "api.example.org:80") is None
    assert end("http://evil.example/ping") is not None
    assert end("/ping") is not None


def test_limits_are_looked_at_only_where_there_are_some() -> None:
    free, tiered = places(), places(limits={**NO_LIMITS, "tiers": {"gold": 5}})
    plans = [find(free, "GET", path).limits for path in ("/ping", "/auth/x", "/limited")]
    assert [plan is not None for plan in plans] == [False, False, True]
    assert find(tiered, "GET", "/ping").limits
    assert find(tiered, "GET", "/auth/x").limits is find(tiered, "GET", "/auth/y").limits
    assert find(tiered, "GET", "/ws/one").limits is None


def test_the_same_line_leads_to_the_same_place_and_a_long_one_is_not_kept() -> None:
    of = places()
    assert find(of, "GET", "/auth/x") is find(of, "GET", "/auth/x")
    assert find(of, "GET", "/auth/x") is not find(of, "GET", "/auth/x", ("b",))
    long = "/auth/" + "x" * REMEMBERED_LENGTH
    assert find(of, "GET", long) == find(of, "GET", long)
    assert find(of, "GET", long) is not find(of, "GET", long)


def test_what_is_prepared_is_shared_by_all_paths_of_a_route_and_method() -> None:
    of = places()
    one, two, other = (
        find(of, method, path)
        for method, path in [("GET", "/auth/a"), ("GET", "/auth/b"), ("POST", "/auth/a")]
    )
    assert one.prepared is two.prepared
    assert one.prepared is not other.prepared


def test_parameters_are_set_and_removed_for_the_instance_alone() -> None:
    place = find(places(), "GET", "/query?debug=1&a=%20&v=1")
    assert place.upstream_target == "/query?a=%20&v=2"
    assert place.target.query == "?debug=1&a=%20&v=1"


def test_what_a_route_answers_itself_is_known_but_not_for_everybody() -> None:
    text = find(places(), "GET", "/robots.txt?x")
    assert (text.end, text.prepared) == (None, None)
    assert text.reply is not None
    assert (text.reply.status, text.reply.body) == (200, b"Disallow: /")
    assert find(places(), "GET", "/robots.txt").reply == text.reply
    moved = find(places(), "GET", "/old/%41?b=c")
    assert (moved.access, moved.end) == ("internal", None)
    assert moved.reply is not None
    assert (moved.reply.status, moved.reply.headers) == (301, (("Location", "/new/%41?b=c"),))


def test_a_choice_is_shared_by_all_requests_of_a_route_and_method() -> None:
    of = places()
    assert find(of, "GET", "/auth/x").choice is None
    one, two = find(of, "GET", "/split"), find(of, "GET", "/split?x")
    assert one.choice is not None
    assert one.choice is two.choice
