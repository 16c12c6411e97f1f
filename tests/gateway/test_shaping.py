from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings import RouteSettings
from gateway.shaping import answer_shaping, public_path, with_public_location
from registry.model import Instance, InstanceId, ServiceName

ONE = Instance(InstanceId("one"), ServiceName("s"), "shop-1.internal", 8080, "10.0.0.5")
SECURE = Instance(
    InstanceId("two"), ServiceName("s"), "::1", 443, "::1", meta={"scheme": "https"}
)  # fmt: skip
PLAIN = Instance(InstanceId("three"), ServiceName("s"), "10.0.0.5", 80, "10.0.0.5")


def route(path: str = "/api/*", **more: Any) -> RouteSettings:
    return RouteSettings.model_validate({"path": path, "service": "s", "access": "public", **more})


def location(value: str, instance: Instance = ONE, of: RouteSettings | None = None) -> str:
    headers = [(b"X-A", b"1"), (b"location", value.encode("latin-1")), (b"X-B", b"2")]
    shaped = with_public_location(headers, instance, public_path(of or route()))
    assert [pair for pair in shaped if pair[0] != b"location"] == [(b"X-A", b"1"), (b"X-B", b"2")]
    return shaped[1][1].decode("latin-1")


# Headers


def test_a_route_that_changes_nothing_costs_nothing() -> None:
    assert answer_shaping(route()) is None
    assert answer_shaping(route(subset={"tag": "v2", "weight": 5})) is None


def test_headers_are_removed_and_set_whatever_their_case_and_number() -> None:
    shaping = answer_shaping(
        route(answer={"set_headers": {"X-Frame-Options": "DENY"}, "remove_headers": ["X-Powered-By"]})
    )
    assert shaping is not None
    came = [
        (b"x-powered-by", b"PHP"),
        (b"A", b"1"),
        (b"x-frame-options", b"x"),
        (b"X-POWERED-BY", b"y"),
        (b"A", b"2"),
    ]
    assert shaping.of(came) == [(b"A", b"1"), (b"A", b"2"), (b"X-Frame-Options", b"DENY")]


@pytest.mark.parametrize(
    "more",
    [{"versions": {"header": "X-V", "to": {"1": {"tag": "v1"}}}}, {"subset": {"tag": "v2", "header": "X-V"}}],
)
def test_caches_are_told_of_the_header_that_decides_where_a_request_goes(more: dict[str, Any]) -> None:
    shaping = answer_shaping(route(**more))
    assert shaping is not None
    assert shaping.of([(b"Vary", b"Accept")]) == [(b"Vary", b"Accept"), (b"Vary", b"X-V")]


# Location


@pytest.mark.parametrize(
    ("value", "instance"),
    [
        ("http://10.0.0.5:8080/x?y#z", ONE),
        ("http://shop-1.internal:8080/x?y#z", ONE),
        ("HTTP://Shop-1.INTERNAL:8080/x?y#z", ONE),
        ("//10.0.0.5:8080/x?y#z", ONE),
        ("http://10.0.0.5/x?y#z", PLAIN),
        ("http://10.0.0.5:80/x?y#z", PLAIN),
        ("https://[::1]/x?y#z", SECURE),
        ("//[0:0::1]:443/x?y#z", SECURE),
    ],
)
def test_the_address_of_the_instance_itself_is_left_out(value: str, instance: Instance) -> None:
    assert location(value, instance) == "/x?y#z"


@pytest.mark.parametrize(
    "value",
    [
        "/x",
        "x",
        "../x",
        "?x",
        "",
        "https://elsewhere.example/x",
        "http://10.0.0.5:8081/x",
        "http://10.0.0.55:8080/x",
        "http://10.0.0.5:8080.evil.example/x",
        "http://10.0.0.5:8080@evil.example/x",
        "http://evil.example/?http://10.0.0.5:8080/",
        "ftp://10.0.0.5:8080/x",
        "https://10.0.0.5/x",
        "http:10.0.0.5:8080/x",
        "//elsewhere.example/x",
        "http://caf\xe9:8080/x",
    ],
)
def test_every_other_location_is_the_applications_own(value: str) -> None:
    assert location(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "http://10.0.0.5:8080//evil.example/x",
        "http://10.0.0.5:8080/\\evil.example/x",
        "http://10.0.0.5:8080\\/evil.example/x",
        "http://10.0.0.5:8080/\t/evil.example/x",
        "http://10.0.0.5:8080///\\//evil.example/x",
    ],
)
def test_a_path_never_becomes_a_host(value: str) -> None:
    assert location(value) == "/evil.example/x"


@pytest.mark.parametrize(
    ("path", "rewrite", "theirs"),
    [
        ("/*", "/v/*", "/v//evil.example/x"),
        ("/*", "/v/*", "/v/\\evil.example/x"),
        ("/*", "/v/*", "/v/\t/evil.example/x"),
        ("/{a}/x", "/v/{a}", "/v/\\evil.example"),
        ("/{a}/x", "/v/{a}", "/v/\t\\evil.example"),
    ],
)
def test_a_path_that_is_turned_back_becomes_no_host(path: str, rewrite: str, theirs: str) -> None:
    of = route(path, rewrite=rewrite)
    assert location(f"http://10.0.0.5:8080{theirs}", of=of) == "/evil.example/x"


@pytest.mark.parametrize("value", ["http://10.0.0.5:8080", "http://10.0.0.5:8080/"])
def test_no_path_is_the_root(value: str) -> None:
    assert location(value) == "/"
    assert location("http://10.0.0.5:8080?x") == "/?x"


@given(st.text(st.sampled_from("/\\\t.@:?#a%"), max_size=8))
def test_what_is_rewritten_stays_here(rest: str) -> None:
    rewritten = location(f"http://10.0.0.5:8080{rest}")
    if not rewritten.startswith("http:"):
        assert rewritten.startswith("/")
        assert rewritten[1:2] not in ("/", "\\", "\t")


@pytest.mark.parametrize(
    ("more", "theirs", "public"),
    [
        ({"strip_prefix": "/api"}, "/users/7?x", "/api/users/7?x"),
        ({"strip_prefix": "/api"}, "", "/api/"),
        ({"rewrite": "/v2/*"}, "/v2/users/7?x", "/api/users/7?x"),
        ({"rewrite": "/v2/*"}, "/v%32/users/%37", "/api/users/%37"),
        ({"rewrite": "/v2/*"}, "/v2", "/v2"),
        ({"rewrite": "/v2/*"}, "/login", "/login"),
        ({"path": "/u/{id}/p/{n}", "rewrite": "/p/{n}/of/{id}"}, "/p/1/of/2", "/u/2/p/1"),
        ({"path": "/u/{id}/p/{n}", "rewrite": "/p/{n}/of/{id}"}, "/p//of/2", "/p//of/2"),
        ({"path": "/u/{id}/p/{n}", "rewrite": "/p/{n}/of/{id}"}, "/p/1/of/2/3", "/p/1/of/2/3"),
        ({"path": "/u/{id}", "rewrite": "/user"}, "/user", "/user"),
        ({"path": "/u/{id}/*", "rewrite": "/user/{id}"}, "/user/1", "/user/1"),
        ({"path": "/old", "rewrite": "/new"}, "/new", "/old"),
    ],
)
def test_the_path_is_turned_back_where_the_route_has_turned_it(
    more: dict[str, Any], theirs: str, public: str
) -> None:
    assert location(f"http://10.0.0.5:8080{theirs}", of=route(**more)) == public
