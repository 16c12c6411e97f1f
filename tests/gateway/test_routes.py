"""The route table, against examples and against a naive reading of every route."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.patterns import Literal, Name, Pattern, decoded, parse_pattern, split
from gateway.routes import LOCAL_PATHS, Match, MethodNotAllowed, NoRoute, RouteTable
from gateway.settings import RouteSettings
from gateway.target import BadTarget, read_target


def route(path: str, *methods: str, **more: Any) -> RouteSettings:
    return RouteSettings.model_validate(
        {"path": path, "service": "s", "methods": methods or ("GET",), "access": "public", **more}
    )


def table(*paths: str) -> RouteTable:
    return RouteTable([route(path) for path in paths])


def matched(found: Match | NoRoute | MethodNotAllowed) -> Match:
    assert isinstance(found, Match), found
    return found


@pytest.mark.parametrize(
    ("path", "wins"),
    [
        ("/users", "/users"),
        ("/users/me", "/users/me"),
        ("/users/7", "/users/{id}"),
        ("/users/7/", "/users/*"),
        ("/users/7/photos", "/users/{id}/photos"),
        ("/users/7/other", "/users/*"),
        ("/users/me/photos", "/users/{id}/photos"),
        ("/users/", "/users/*"),
        ("/other", "/*"),
        ("/", "/*"),
    ],
)
def test_the_most_specific_path_wins(path: str, wins: str) -> None:
    routes = table("/*", "/users/*", "/users/{id}", "/users/me", "/users", "/users/{id}/photos")
    assert matched(routes.resolve("GET", path)).route.path == wins


def test_plain_text_counts_from_left_to_right() -> None:
    routes = table("/{a}/x/y", "/a/{b}/*")
    assert matched(routes.resolve("GET", "/a/x/y")).route.path == "/a/{b}/*"


def test_a_prefix_does_not_match_without_its_slash() -> None:
    assert table("/a/*").resolve("GET", "/a") == NoRoute()
    assert table("/a/*").resolve("GET", "/ab") == NoRoute()


def test_a_name_is_one_segment_that_is_not_empty() -> None:
    assert table("/a/{x}").resolve("GET", "/a/") == NoRoute()
    assert table("/a/{x}").resolve("GET", "/a/b/c") == NoRoute()


def test_names_hold_raw_segments() -> None:
    found = matched(table("/{a}/x/{b}").resolve("GET", "/1%20/x/%C3%A9"))
    assert found.params == {"a": "1%20", "b": "%C3%A9"}


def test_an_escape_does_not_lead_past_a_route() -> None:
    routes = table("/admin", "/admin/{id}", "/*")
    assert matched(routes.resolve("GET", "/%61dmin")).route.path == "/admin"
    found = matched(routes.resolve("GET", "/%61dmin/%37"))
    assert found.route.path == "/admin/{id}"
    assert found.upstream_path == "/%61dmin/%37", "what goes upstream stays as it came"


def test_methods() -> None:
    routes = RouteTable([route("/x", "POST", "GET"), route("/x", "PUT", retry="safe"), route("/*", "DELETE")])
    assert matched(routes.resolve("PUT", "/x")).route.methods == ("PUT",)
    assert matched(routes.resolve("HEAD", "/x")).route.methods == ("POST", "GET")
    assert routes.resolve("DELETE", "/x") == MethodNotAllowed(("GET", "HEAD", "POST", "PUT"))
    assert routes.resolve("GET", "/y") == MethodNotAllowed(("DELETE",))


def test_a_head_route_of_its_own_comes_before_gets() -> None:
    for routes in ([route("/x"), route("/x", "HEAD")], [route("/x", "HEAD"), route("/x")]):
        assert matched(RouteTable(routes).resolve("HEAD", "/x")).route.methods == ("HEAD",)


def test_the_default_methods_are_all_that_are_carried() -> None:
    routes = RouteTable([RouteSettings(path="/*", service="s", access="public")])
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        matched(routes.resolve(method, "/x"))
    assert isinstance(routes.resolve("PROPFIND", "/x"), MethodNotAllowed)


@pytest.mark.parametrize(
    ("settings", "path", "upstream"),
    [
        ({"path": "/a/b"}, "/a/b", "/a/b"),
        ({"path": "/*"}, "/a%20b/c;d", "/a%20b/c;d"),
        ({"path": "/api/*", "strip_prefix": "/api"}, "/api/v1/x%2B", "/v1/x%2B"),
        ({"path": "/api/*", "strip_prefix": "/api"}, "/%61pi/x", "/x"),
        ({"path": "/api/*", "strip_prefix": "/api"}, "/api/", "/"),
        ({"path": "/api", "strip_prefix": "/api"}, "/api", "/"),
        ({"path": "/a/{x}/b", "strip_prefix": "/a"}, "/a/1/b", "/1/b"),
        ({"path": "/old/{x}/{y}", "rewrite": "/new/{y}/{x}"}, "/old/1/%32", "/new/%32/1"),
        ({"path": "/old/{x}/*", "rewrite": "/{x}/new/*"}, "/old/1/2/3/", "/1/new/2/3/"),
        ({"path": "/old/*", "rewrite": "/new"}, "/old/1/2", "/new"),
        ({"path": "/old", "rewrite": "/new"}, "/old", "/new"),
    ],
)
def test_what_goes_upstream(settings: dict[str, Any], path: str, upstream: str) -> None:
    found = matched(RouteTable([route(**settings)]).resolve("GET", path))
    assert found.upstream_path == upstream
    assert found.upstream_target("?a=%2f&a=") == upstream + "?a=%2f&a="
    assert found.upstream_target("") == upstream


@pytest.mark.parametrize(
    ("path", "to", "came", "leads"),
    [
        ("/old", "/new", "/old", "/new"),
        ("/old/*", "/new", "/old/1/2", "/new"),
        ("/old/*", "https://new.example/x/*", "/old/%41/2/", "/x/%41/2/"),
        ("/{a}/*", "https://new.example/*", "/old/", "/"),
        ("/u/{id}/{what}", "/{what}/of/{id}", "/u/%C3%A9/a;b", "/a;b/of/%C3%A9"),
        ("/old/*", "https://new.example", "/old/1", "/"),
    ],
)
def test_where_a_redirect_leads(path: str, to: str, came: str, leads: str) -> None:
    redirect = RouteSettings.model_validate({"path": path, "access": "public", "redirect": {"to": to}})
    assert matched(RouteTable([redirect]).resolve("GET", came)).upstream_path == leads


@given(
    to=st.sampled_from(["/*", "/x/*", "/{a}/*", "/{a}", "https://new.example/*"]),
    came=st.lists(st.text(st.sampled_from("a.%2Ff5c0d\\;@:"), max_size=6), max_size=4),
)
def test_no_path_makes_a_redirect_lead_to_another_host(to: str, came: list[str]) -> None:
    settings = {"path": "/old/{a}/*", "access": "public", "redirect": {"to": to}}
    target = read_target("GET", "/".join(["/old", *came]), (1, 1), ["localhost"])
    if isinstance(target, BadTarget):
        return
    found = RouteTable([RouteSettings.model_validate(settings)]).resolve("GET", target.path)
    if isinstance(found, Match):
        assert found.upstream_path.startswith("/")
        assert found.upstream_path[1:2] not in ("/", "\\")


def test_local_paths_are_exact() -> None:
    assert all(isinstance(p := parse_pattern(path), Pattern) and p.exact for path in LOCAL_PATHS)


SEGMENTS = st.sampled_from(["a", "b", "c", "%61", ""])
PARTS = st.sampled_from(["a", "b", "c", "{}"])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    parts = draw(st.lists(PARTS, max_size=4))
    named = [f"{{n{place}}}" if part == "{}" else part for place, part in enumerate(parts)]
    ends = ["/*", "/"] if not named else ["", "/*", "/"]
    return "".join(f"/{part}" for part in named) + draw(st.sampled_from(ends))


@st.composite
def paths(draw: st.DrawFn) -> str:
    """As `read_target` lets them through: only the last segment may be empty."""
    segments = draw(st.lists(SEGMENTS, min_size=1, max_size=6))
    return "/" + "/".join([part or "a" for part in segments[:-1]] + segments[-1:])


def specificity(pattern: Pattern, path: str) -> tuple[int, ...] | None:
    """Per segment 0 for text, 1 for a name, 2 for the rest; `None` if the pattern does not match."""
    segments = [decoded(segment) for segment in split(path)]
    if len(segments) < len(pattern.segments) + pattern.rest:
        return None
    if len(segments) > len(pattern.segments) and not pattern.rest:
        return None
    ranks = []
    for part, segment in zip(pattern.segments, segments, strict=False):
        if isinstance(part, Literal) and part.key != segment:
            return None
        if isinstance(part, Name) and not segment:
            return None
        ranks.append(int(isinstance(part, Name)))
    return (*ranks, 2) if pattern.rest else tuple(ranks)


@given(st.lists(patterns(), max_size=8), paths())
def test_the_table_agrees_with_a_naive_reading(texts: list[str], path: str) -> None:
    """Most specific first, and what is found is what the pattern says."""
    ranks = {}
    for text in texts:
        pattern = parse_pattern(text)
        assert isinstance(pattern, Pattern), text
        if (rank := specificity(pattern, path)) is not None:
            ranks[pattern.shape] = rank
    found = table(*texts).resolve("GET", path)
    if not ranks:
        assert found == NoRoute()
        return
    pattern = parse_pattern(matched(found).route.path)
    assert isinstance(pattern, Pattern)
    assert ranks[pattern.shape] == min(ranks.values())
    assert matched(found).upstream_path == path
    assert set(matched(found).params) == set(pattern.names)
