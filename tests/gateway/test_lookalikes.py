"""Paths that lax instances take for others do not get past what those others ask of a caller."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.lookalikes import Lookalikes, readings
from gateway.routes import Match, RouteTable
from gateway.settings_routes import RouteSettings
from gateway.target import path_is_carried


def route(path: str, access: str = "public", **more: object) -> RouteSettings:
    return RouteSettings.model_validate({"path": path, "access": access, "service": "web", **more})


def passes(path: str, routes: Sequence[RouteSettings], method: str = "GET") -> bool:
    assert path_is_carried(path), "it would be refused before"
    found = RouteTable(routes).resolve(method, path)
    assert isinstance(found, Match)
    return not Lookalikes(routes).may_pass_for_another(method, path, found.route)


MINE = (route("/*"), route("/mine/*", "user"))


@pytest.mark.parametrize(
    "path",
    [
        *("/Mine/x", "/MINE/x", "/mine", "/mine;a=1/x", "/mine%3ba/x", "/;x/mine/x"),
        *("/mine./x", "/mine%20/x", "/%256dine/x", "/x/%252e%252e/mine/x", "/x%252f..%252fmine/x"),
        *("/x/%255c../mine/x", "/%255cmine/x", "/mine%2500/x", "/mine%3fx/y", "/mine%23/y"),
        *("/%c0%af/mine/x", "/x/%c0%ae%c0%ae/mine/x", "/x/%e0%80%ae%e0%80%ae/mine/x"),
        pytest.param("/%e2%85%bfine/x", id="a Roman numeral for m"),
        pytest.param("/%ef%bd%8dine/x", id="a full-width m"),
    ],
)
def test_what_a_lax_reader_takes_for_a_path_of_users_does_not_pass(path: str) -> None:
    assert not passes(path, MINE)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/x",
        "/Xmine",
        "/mines",
        "/mine/x",
        "/%6dine/x",
        "/x/mine",
        "/x;mine",
        "/%80%ff/x",
        "/.x/y",
        "/Who%3F/x",
        "/a%2526",
    ],
)
def test_other_paths_pass(path: str) -> None:
    assert passes(path, MINE)


@pytest.mark.parametrize(
    ("path", "routes"),
    [
        ("/users", [route("/users"), route("/users/*", "user")]),
        ("/users/7", [route("/users/{id}"), route("/users/{id}/*", "user")]),
        ("/Users/7", [route("/Users/*"), route("/users/*", "user")]),
        ("/Mine", [route("/Mine"), *MINE]),
        ("/Mine/x", [route("/*"), route("/mine/*", "user", service="other")]),
        ("/Mine/x", [route("/*", "user"), route("/mine/*", "user")]),
        ("/Mine/x", [route("/*", "user"), route("/mine/*")]),
        ("/Mine/x", [route("/*"), route("/mine/*", "user", methods=["POST"])]),
    ],
    ids=["a slash", "below a name", "case", "spelled out", "elsewhere", "as strict", "laxer", "a method"],
)
def test_what_the_routes_tell_apart_passes(path: str, routes: list[RouteSettings]) -> None:
    assert passes(path, routes)


@pytest.mark.parametrize(
    ("path", "routes"),
    [
        ("/users/", [route("/users", "internal"), route("/users/*", "user")]),
        ("/Users/7", [route("/*", "user"), route("/users/{id}", "user", require={"roles": ["admin"]})]),
        ("/ME", [route("/{name}"), route("/me", "user")]),
        ("/Mine/x", [route("/*"), route("/mine/*", "user", versions={"to": {"v1": {"service": "web"}}})]),
    ],
)
def test_what_a_route_asks_for_counts_whatever_its_kind(path: str, routes: list[RouteSettings]) -> None:
    assert not passes(path, routes)


@given(
    st.lists(st.sampled_from(["a", "A", "%61", "%2561", ";a", ".", "%252e", "%252f", "%c0%ae", "%ff", "/"]))
)
def test_a_reading_reads_as_itself(pieces: list[str]) -> None:
    for reading in readings("/" + "".join(pieces)):
        assert reading in list(readings(reading))
        assert "//" not in reading
        assert ".." not in reading.split("/")
