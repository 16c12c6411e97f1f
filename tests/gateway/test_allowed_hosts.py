"""Which hosts may be asked for."""

import pytest

from gateway.allowed_hosts import AllowedHosts

HOSTS = AllowedHosts(["api.example.org", "*.example.net", "[::1]", "192.0.2.1"])


@pytest.mark.parametrize(
    "host",
    [
        "api.example.org",
        "API.Example.ORG",
        "api.example.org:8443",
        "api.example.org.",
        "a.example.net",
        "a.b.example.net:80",
        "[::1]:8000",
        "[0:0::1]",
        "192.0.2.1",
    ],
)
def test_a_host_is_known_by_its_name(host: str) -> None:
    assert HOSTS.allows(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.org",
        "api.example.org.evil.example",
        "evilapi.example.org",
        "x.api.example.org",
        "example.net",
        ".example.net",
        "evilexample.net",
        "a.example.net.evil.example",
        "[::2]",
        "192.0.2.10",
        "api.example.org..",
    ],
)
def test_any_other_is_not(host: str) -> None:
    assert not HOSTS.allows(host)


def test_below_is_not_itself_unless_both_are_listed() -> None:
    assert AllowedHosts(["example.org", "*.example.org"]).allows("example.org")
    assert AllowedHosts(["example.org", "*.example.org"]).allows("a.example.org")
