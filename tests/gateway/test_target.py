"""The request line: what is carried as it came, and what is refused for which reason."""

import json
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.target import BadTarget, Target, method_problem, path_is_carried, read_target, split_host

V11 = (1, 1)
ENVOY = Path(__file__).parents[3] / "shared/external/path/envoy_path.json"


def read(raw: str, method: str = "GET", host: str = "example.org") -> Target | BadTarget:
    return read_target(method, raw, V11, [host])


@pytest.mark.parametrize(
    "raw",
    [
        "/",
        "/a",
        "/a/",
        "/a/b?x=1&y=2",
        "/a?",
        "/a??b",
        "/a?x=//../\\%zz",
        "/a;v=1",
        "/%252e%252e/x",
        "/%c0%af",
        "/~user/%7Euser",
        "/...",
        "/a..b/.well-known",
        "/.%41/x",
    ],
)
def test_what_is_carried_is_carried_as_it_came(raw: str) -> None:
    found = read(raw)
    assert isinstance(found, Target)
    assert found.path + found.query == raw
    assert found.host == "example.org"


@pytest.mark.parametrize(
    "raw",
    [
        *("", "a", "a/b", "?x", "*", "/a/../b", "/..", "/a/.", "/./a", "/%2e%2e/a", "/a/%2E./b", "/.%2e"),
        *("/a/..;x/b", "/a/.;", "/a/..%3bx/b", "/a%2fb", "/a%2Fb", "/a%5cb", "/a\\b", "/a%00b", "/a%0d%0ab"),
        *("/a%7fb", "/a%1Fb", "/a#b", "/a?b#c", "//a", "/a//b", "/a//", "/a b", "/a\tb", "/a?b c", "/a\x00"),
        *(
            "/\x7f",
            "/é",
            "/a?é",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%%41",
            "/a?\udc80",
            "mailto:x@y",
            "example.org:80",
        ),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(raw: str) -> None:
    assert read(raw) is BadTarget.BAD_PATH


@pytest.mark.parametrize(
    ("raw", "host", "expected"),
    [
        ("http://example.org/a?b", "example.org", ("/a", "?b")),
        ("HTTP://EXAMPLE.org/a", "example.org:80", ("/a", "")),
        ("https://example.org/a", "example.org:443", ("/a", "")),
        ("http://example.org", "example.org", ("/", "")),
        ("http://example.org?q", "example.org", ("/", "?q")),
        ("http://[::1]:8000/a", "[0:0::1]:8000", ("/a", "")),
    ],
)
def test_an_absolute_target_is_its_path_where_the_authority_is_the_hosts(
    raw: str, host: str, expected: tuple[str, str]
) -> None:
    found = read(raw, host=host)
    assert isinstance(found, Target)
    assert (found.path, found.query) == expected


@pytest.mark.parametrize(
    "raw",
    [
        "http://evil.org/a",
        "http://example.org:81/a",
        "http://user@example.org/a",
        "http:///a",
        "ftp://example.org/a",
    ],
)
def test_an_absolute_target_of_another_authority_is_refused(raw: str) -> None:
    assert read(raw) is BadTarget.BAD_HOST


def test_an_absolute_target_is_read_as_strictly_as_any() -> None:
    assert read("http://example.org/a/../b") is BadTarget.BAD_PATH
    assert read("http://example.org//evil.org/a") is BadTarget.BAD_PATH


@pytest.mark.parametrize(
    "host",
    [
        *(
            "",
            " ",
            "a,b",
            "a, b",
            "user@a",
            "a/b",
            "a:",
            "a:0",
            "a:65536",
            "a:x",
            "a:-1",
            "a:80:80",
            "[::1",
            "::1",
        ),
        *(
            "[::g]",
            "[1.2.3.4]",
            "[::1]80",
            "[fe80::1%25eth0]",
            "a b",
            "a\x00",
            "exämple",
            "a%41",
            "a" * 300,
            "a?b",
        ),
        "a:" + "0" * 20,
    ],
)
def test_a_host_that_is_none_is_refused(host: str) -> None:
    assert read("/", host=host) is BadTarget.BAD_HOST


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("Example.ORG", ("example.org", None)),
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("[::1]:65535", ("::1", 65535)),
        ("my_service", ("my_service", None)),
    ],
)
def test_hosts(host: str, expected: tuple[str, int | None]) -> None:
    assert split_host(host) == expected


def test_a_host_is_required_once() -> None:
    assert read_target("GET", "/", V11, []) is BadTarget.BAD_HOST
    assert read_target("GET", "/", V11, ["a", "a"]) is BadTarget.BAD_HOST
    assert read_target("GET", "/", (1, 0), ["a", "b"]) is BadTarget.BAD_HOST
    assert read_target("GET", "/", (1, 0), []) == Target("/", "", "")
    assert read_target("GET", "http://A/x", (1, 0), []) == Target("/x", "", "a")


@pytest.mark.parametrize("version", [(0, 9), (1, 2), (2, 0), (3, 0)])
def test_other_versions_are_refused(version: tuple[int, int]) -> None:
    assert read_target("GET", "/", version, ["a"]) is BadTarget.BAD_VERSION


@pytest.mark.parametrize("method", ["get", "Get", "", "G T", "GET\r", "GET,", "É", "X" * 33, "1GET", "GET\n"])
def test_an_odd_method_is_refused(method: str) -> None:
    assert method_problem(method) is BadTarget.BAD_METHOD
    assert read("/", method=method) is BadTarget.BAD_METHOD


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_tunnels_and_echoes_are_not_allowed(method: str) -> None:
    assert read("example.org:443", method=method) is BadTarget.METHOD_NOT_ALLOWED


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "PROPFIND", "M-SEARCH", "X" * 32])
def test_other_methods_are_the_routes_business(method: str) -> None:
    assert method_problem(method) is None


def test_options_star_asks_for_the_server() -> None:
    found = read("*", method="OPTIONS")
    assert isinstance(found, Target)
    assert found.asks_for_the_server
    plain = read("/*", method="OPTIONS")
    assert isinstance(plain, Target)
    assert not plain.asks_for_the_server


@given(st.text(alphabet="/.%2eEfF5cC0;\\?#aA é\x00", max_size=30))
def test_accepted_paths_hold_no_dot_segment_however_they_are_decoded(raw: str) -> None:
    found = read("/" + raw)
    assume(isinstance(found, Target))
    assert isinstance(found, Target)
    assert found.path + found.query == "/" + raw
    decoded = unquote(found.path, encoding="latin-1")
    assert not {".", ".."} & set(decoded.split("/"))
    assert decoded.count("/") == found.path.count("/")
    assert "//" not in decoded
    assert all(char >= " " and char not in "\x7f\\" for char in decoded)


@given(st.text(max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_it_answers_whatever_comes(raw: str, method: str, host: str) -> None:
    found = read_target(method, raw, V11, [host])
    assert isinstance(found, Target | BadTarget)


@pytest.mark.skipif(not ENVOY.exists(), reason="shared/external is not beside the project")
def test_envoys_cases_are_passed_unchanged_or_refused() -> None:
    """Envoy rewrites what it doubts and we refuse it: what is left unchanged there is taken here."""
    cases = json.loads(ENVOY.read_text())
    assert len(cases["normalize"]) > 10
    for raw, normal in [*cases["normalize"], *cases["merge_slashes"]]:
        path = raw.partition("?")[0]
        forbidden = "%2f" in path.lower() or "%5c" in path.lower()
        assert path_is_carried(path) is (raw == normal and not forbidden), raw
    assert not any(path_is_carried(raw) for raw in cases["invalid"])
