"""The kinds of values: what is taken and what is told instead."""

from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.settings_types import (
    Address,
    Cidr,
    Count,
    Header,
    Host,
    HttpUrl,
    InstancePath,
    InstanceUrl,
    LongSecret,
    Method,
    Name,
    Origin,
    Port,
    Rate,
    RedisUrl,
    Seconds,
    SecondsOrZero,
    Secret,
    Section,
    Share,
    Text,
    did_you_mean,
)


def told(kind: Any, value: object) -> str:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(kind).validate_python(value)
    return str(raised.value.errors()[0]["msg"])


def taken(kind: Any, value: object) -> Any:
    return TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Seconds, "0.5", 0.5),
        (Seconds, 3, 3.0),
        (SecondsOrZero, 0, 0.0),
        (Rate, "0.5", 0.5),
        (Share, 0, 0.0),
        (Count, "7", 7),
        (Port, 0, 0),
        (Port, "65535", 65535),
        (Name, "a.b_c-9", "a.b_c-9"),
        (Name, "x" * 128, "x" * 128),
        (Header, "X-Key", "X-Key"),
        (Method, "PROPFIND", "PROPFIND"),
        (Cidr, "10.0.0.0/8", ip_network("10.0.0.0/8")),
        (Cidr, "::1", ip_network("::1/128")),
        (Cidr, ip_network("::1/128"), ip_network("::1/128")),
        (Address, "127.0.0.1:8500", "127.0.0.1:8500"),
        (Address, "[::1]:8500", "[::1]:8500"),
        (Address, "127.0.0.1:0", "127.0.0.1:0"),
        (Host, "::1", "::1"),
        (Host, "gateway.example.org", "gateway.example.org"),
        (Host, "", None),
        (InstanceUrl, "https://[::1]:9101", "https://[::1]:9101"),
        (Origin, "*", "*"),
        (Origin, "https://chat.example.org:8443", "https://chat.example.org:8443"),
        (Text, "", None),
        (Text, None, None),
        (Secret, "", None),
        (LongSecret, "", None),
    ],
)
def test_good_values(kind: Any, value: object, expected: object) -> None:
    assert taken(kind, value) == expected


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Seconds, [0, -1, True, "x", float("inf"), float("nan"), 86_401, None, []]),
        (Count, [0, -1, 1.5, False, "1e3", 10**10]),
        (Port, [-1, 65_536, True, "http"]),
        (Name, ["", "-a", "../kv", "a/b", "a b", "a\n", "é", "x" * 129, 7]),
        (Header, ["", "a b", "a:", "é", "a\r\n"]),
        (Method, ["", "get", "CONNECT", "TRACE", "G T", "GET\n", "X" * 33]),
        (Cidr, ["", "10.0.0.1/8", "10.0.0.0/33", "localhost", 10, True, None]),
        (Address, ["", "localhost", ":8500", "http://a:1", "a:", "a:99999", "a:x", "::1:8500", "u@a:1"]),
        (
            InstanceUrl,
            ["", "127.0.0.1:1", "http://a", "ftp://a:1", "http://a:1/", "http://a:1?x", "http://a:0"],
        ),
        (InstanceUrl, ["http://u:p@a:1", "http://a:1#x", "http://[::1:1", "http:// a:1", "http://a:99999"]),
        (
            Origin,
            [
                "",
                "example.org",
                "https://example.org/",
                "https://Example.org",
                "null",
                "https://u@a",
                "file://",
            ],
        ),
        (LongSecret, ["x" * 31, 7]),
    ],
)
def test_bad_values(kind: Any, values: list[object]) -> None:
    for value in values:
        told(kind, value)


def test_messages_say_what_to_write() -> None:
    assert "did you mean 10.0.0.0/8?" in told(Cidr, "10.0.0.1/8")
    assert "127.0.0.1:8500" in told(Address, "localhost")
    assert "http://host:port" in told(InstanceUrl, "http://a:1/path")
    assert "https://example.org" in told(Origin, "example.org")
    assert "31 bytes" in told(LongSecret, "x" * 31)


def test_bytes_count_and_not_letters() -> None:
    assert taken(LongSecret, "é" * 16).get_secret_value() == "é" * 16


def test_the_nearest_name_is_offered() -> None:
    assert (
        did_you_mean("Strategie", ["strategy", "timeouts"])
        == "did you mean strategy? known: strategy, timeouts"
    )
    assert did_you_mean("zzz", ["a", "b"]) == "known: a, b"
    assert did_you_mean("x", []) == "known: none"


def test_every_level_refuses_unknown_keys() -> None:
    class Inner(Section):
        a: int = 1

    class Outer(Section):
        inner: Inner = Inner()

    with pytest.raises(ValidationError, match=r"inner\.b"):
        Outer.model_validate({"inner": {"b": 1}})


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "redis://:pass%40word@redis",
        "rediss://user:password@[::1]:6380/15?ssl_ca_certs=/etc/ca.pem",
        "redis://redis?socket_timeout=0.5&socket_connect_timeout=1&db=2",
        "unix:///run/redis.sock?db=1",
    ],
)
def test_where_a_redis_may_be(url: str) -> None:
    assert taken(RedisUrl, url).get_secret_value() == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "must be redis://"),
        ("localhost:6379", "must be redis://"),
        ("http://localhost:6379", "must be redis://"),
        ("redis://", "must be redis://"),
        ("redis://host:port", "must be redis://"),
        ("redis://host:0", "must be redis://"),
        ("redis://host/first", "must be redis://"),
        ("redis://host?socket_timeout", "must be redis://"),
        ("unix://", "must be redis://"),
        ("redis://host?socket_timout=1", "did you mean socket_timeout?"),
        ("redis://:hidden@host?socket_timeout=long", "are seconds"),
    ],
)
def test_where_no_redis_can_be(url: str, message: str) -> None:
    said = told(RedisUrl, url)
    assert message in said
    assert "hidden" not in said


@pytest.mark.parametrize("path", ["openapi.json", "http://there/openapi.json", "", "/a b", "/ä"])
def test_instances_are_asked_for_a_path(path: str) -> None:
    assert "must be a path, such as /health" in told(InstancePath, path)
    assert taken(InstancePath, "/health?deep=1") == "/health?deep=1"


def test_a_url_is_told_by_what_it_may_be() -> None:
    assert "must be http://host:port/path" in told(HttpUrl, "collector:4318")
