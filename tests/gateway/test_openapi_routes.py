"""Routes as operations."""

from typing import Any

import pytest

from gateway.errors import Reason
from gateway.openapi_document import Draft
from gateway.openapi_routes import describe_route, methods, reasons, template
from gateway.settings import LimitsSettings, ListenSettings, RouteSettings, Settings

UNLIMITED = Settings(limits=LimitsSettings(per_address=None, per_user=None))


def route(path: str = "/a", **more: Any) -> RouteSettings:
    ends = {"respond", "redirect"} & more.keys()
    return RouteSettings.model_validate({"path": path, **({} if ends else {"service": "auth"}), **more})


def described(made: RouteSettings) -> dict[str, Any]:
    draft = Draft()
    describe_route(draft, made, UNLIMITED)
    (item,) = draft.paths.values()
    return item


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/{id}", "/a/{id}"),
        ("/a/*", "/a/{path}"),
        ("/*", "/{path}"),
        ("/{path}/*", "/{path}/{path_}"),
    ],
)
def test_a_path_in_openapis_words(path: str, expected: str) -> None:
    assert template(route(path)) == expected


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["GET", "HEAD", "OPTIONS"], ["GET"]),
        (["HEAD"], ["HEAD"]),
        (["OPTIONS"], ["OPTIONS"]),
        (["POST", "GET"], ["POST", "GET"]),
    ],
)
def test_methods_that_go_without_saying_are_left_out(named: list[str], expected: list[str]) -> None:
    assert list(methods(route(methods=named))) == expected


def test_who_may_call_it_is_said_and_what_they_get_who_may_not() -> None:
    made = described(route(methods=["GET"], access="user", require={"roles": ["admin"], "scopes": ["w"]}))
    assert made["get"]["security"] == [{"bearer": []}, {"token": []}]
    assert {"401", "403"} <= made["get"]["responses"].keys()
    assert "admin" in made["get"]["description"]
    inside = described(route(methods=["GET"], access="internal"))["get"]
    assert inside["security"] == [{"internalKey": []}, {}]
    assert "401" not in inside["responses"]


def test_limits_are_said_where_there_are_any() -> None:
    assert Reason.RATE_LIMITED not in reasons(route(), UNLIMITED)
    assert Reason.RATE_LIMITED in reasons(route(limit=5), UNLIMITED)
    assert Reason.RATE_LIMITED in reasons(route(), Settings())
    closed = Settings(limits=LimitsSettings(fail_mode="closed"))
    assert Reason.LIMITS_UNAVAILABLE in reasons(route(), closed)


def test_a_cache_may_have_nothing() -> None:
    assert Reason.NOT_CACHED not in reasons(route(), UNLIMITED)
    assert Reason.NOT_CACHED in reasons(route(cache={}), UNLIMITED)


def test_what_an_instance_answers_is_its_own_business() -> None:
    made = described(route(methods=["GET", "POST"]))
    assert {"502", "503", "504", "default"} <= made["get"]["responses"].keys()
    assert "requestBody" in made["post"]
    assert "requestBody" not in made["get"]


def test_what_the_gateway_answers_itself_is_described() -> None:
    hello = described(route(methods=["GET"], respond={"status": 203, "body": "hi"}))["get"]["responses"]
    assert list(hello["203"]["content"]) == ["text/plain"]
    assert not {"502", "default"} & hello.keys()
    gone = described(route(methods=["GET"], respond={"status": 404}))["get"]["responses"]
    assert "content" not in gone["404"]
    moved = described(route("/a/*", methods=["GET"], redirect={"to": "/b/*", "status": 301}))["get"]
    assert "Location" in moved["responses"]["301"]["headers"]


def test_the_version_is_a_header_with_a_choice() -> None:
    versions = {"header": "X-V", "default": "1", "to": {"1": {"tag": "v1"}, "2": {"tag": "v2"}}}
    made = described(route(methods=["GET"], versions=versions))
    assert made["get"]["parameters"] == [
        {"name": "X-V", "in": "header", "schema": {"type": "string", "enum": ["1", "2"], "default": "1"}}
    ]
    assert "404" in made["get"]["responses"]


def test_what_else_a_caller_may_meet_depends_on_the_settings() -> None:
    hosts = Settings(listen=ListenSettings(allowed_hosts=("example.org",)))
    assert Reason.UNKNOWN_HOST in reasons(route(), hosts)
    assert Reason.UNKNOWN_HOST not in reasons(route(), Settings())
    assert Reason.NOT_CACHED in reasons(route(methods=["GET"], cache={}), Settings())
