"""Whose call it is, behind proxies that are trusted and proxies that are not."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client_address import (
    MAX_HOPS,
    Client,
    find_client,
    internal_key_matches,
    is_internal,
    limit_key,
    may_speak_for_a_page,
    parse_address,
)

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]


def find(peer: str, *forwarded: str, proto: tuple[str, ...] = ()) -> Client:
    return find_client(peer, forwarded, proto, TRUSTED)


def said(peer: str, *forwarded: str, x_for: tuple[str, ...] = (), proto: tuple[str, ...] = ()) -> Client:
    """The client where these are the values of `Forwarded`."""
    return find_client(peer, x_for, proto, TRUSTED, forwarded=forwarded)


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.9"], "192.0.2.9"),
        ("10.0.0.1", ["203.0.113.5, 192.0.2.9"], "192.0.2.9"),
        ("10.0.0.1", ["203.0.113.5", "192.0.2.9,10.0.0.2 , 10.0.0.3"], "192.0.2.9"),
        ("10.0.0.1", ["10.0.0.7, 10.0.0.2"], "10.0.0.7"),
        ("10.0.0.1", ["192.0.2.9:4711"], "192.0.2.9"),
        ("fd00::1", ["[2001:db8::9]:4711"], "2001:db8::9"),
        ("fd00::1", ["[2001:db8::9]"], "2001:db8::9"),
        ("10.0.0.1", ["2001:DB8:0::9"], "2001:db8::9"),
        ("::ffff:10.0.0.1", ["::ffff:192.0.2.9"], "192.0.2.9"),
        ("10.0.0.1", ["nonsense, 192.0.2.9"], "192.0.2.9"),
    ],
)
def test_the_rightmost_hop_that_is_not_trusted_is_the_client(
    peer: str, forwarded: list[str], address: str
) -> None:
    assert find(peer, *forwarded) == Client(address, "http")


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", ["for=192.0.2.9"], "192.0.2.1"),
        ("10.0.0.1", ["for=192.0.2.9"], "192.0.2.9"),
        ("10.0.0.1", ["FOR=192.0.2.9;by=10.0.0.1; Proto=https"], "192.0.2.9"),
        ("10.0.0.1", ["for=203.0.113.5, for=192.0.2.9"], "192.0.2.9"),
        ("10.0.0.1", ["for=203.0.113.5", "for=192.0.2.9,for=10.0.0.2"], "192.0.2.9"),
        ("10.0.0.1", ['for="192.0.2.9:4711"'], "192.0.2.9"),
        ("fd00::1", ['for="[2001:db8::9]"'], "2001:db8::9"),
        ("fd00::1", ['for="[2001:db8::9]:_port"'], "2001:db8::9"),
        ("10.0.0.1", ["nonsense, for=192.0.2.9"], "192.0.2.9"),
        ("10.0.0.1", ['for="192.0.2.9, for=10.0.0.2', "for=192.0.2.9"], "192.0.2.9"),
    ],
)
def test_forwarded_is_read_from_the_right_likewise(peer: str, forwarded: list[str], address: str) -> None:
    assert said(peer, *forwarded).address == address


@pytest.mark.parametrize(
    "value", ["", "for=unknown", "for=_hidden", "by=10.0.0.1", "for=192.0.2.9,", "for=2001:db8::9", "for"]
)
def test_a_hop_that_names_nobody_makes_the_peer_the_client(value: str) -> None:
    assert said("10.0.0.1", value) == Client("10.0.0.1", "http", relayed=True)


def test_two_headers_must_lead_to_one_client() -> None:
    """A proxy writes one of them and may pass the client's own other one on."""
    agreed = said("10.0.0.1", "for=192.0.2.9;proto=https", x_for=("192.0.2.9, 10.0.0.7",), proto=("https",))
    assert agreed == Client("192.0.2.9", "https")
    nobody = Client("10.0.0.1", "http", relayed=True)
    assert said("10.0.0.1", "for=203.0.113.1", x_for=("192.0.2.9",)) == nobody
    assert said("10.0.0.1", "for=unknown", x_for=("192.0.2.9",)) == nobody
    assert said("10.0.0.1", "for=192.0.2.9", x_for=("nonsense",)) == nobody
    assert said("10.0.0.1", "for=192.0.2.9;proto=http", proto=("https",)).scheme == "http"


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        ("for=192.0.2.9;proto=https", "https"),
        ("for=192.0.2.9;proto=https, for=10.0.0.2;proto=http", "http"),
        ("for=192.0.2.9;proto=gopher", "http"),
        ("for=192.0.2.9", "http"),
    ],
)
def test_the_nearest_proxy_says_how_it_was_spoken_to(value: str, scheme: str) -> None:
    assert said("10.0.0.1", value).scheme == scheme


def test_who_is_not_trusted_is_not_believed() -> None:
    """A thousand made-up addresses from one peer are one client."""
    clients = {find("192.0.2.1", f"203.0.113.{n % 256}, 198.51.100.{n // 256}") for n in range(1000)}
    assert clients == {Client("192.0.2.1", "http", relayed=True)}


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "unknown",
        "192.0.2.9,",
        "1.2.3",
        "[::1",
        "_hidden",
        "192.0.2.9:x",
        "é",
        "::g",
        "[::1]x",
        "1.2.3.4%" + "x" * 99,
    ],
)
def test_what_cant_be_read_makes_the_peer_the_client(header: str) -> None:
    assert find("10.0.0.1", header) == Client("10.0.0.1", "http", relayed=True)


def test_a_header_is_read_up_to_a_bound() -> None:
    many = ", ".join(["10.0.0.2"] * MAX_HOPS)
    assert find("10.0.0.1", many).address == "10.0.0.2"
    assert find("10.0.0.1", f"192.0.2.9, {many}") == Client("10.0.0.1", "http", relayed=True)
    assert find("10.0.0.1", f"{many}, 192.0.2.9").address == "192.0.2.9", "a client's own words are not read"


@pytest.mark.parametrize(
    ("peer", "proto", "scheme"),
    [
        ("10.0.0.1", ("https",), "https"),
        ("10.0.0.1", ("http, HTTPS",), "https"),
        ("10.0.0.1", ("https", "http"), "http"),
        ("10.0.0.1", ("gopher",), "http"),
        ("192.0.2.1", ("https",), "http"),
    ],
)
def test_the_scheme_is_believed_likewise(peer: str, proto: tuple[str, ...], scheme: str) -> None:
    assert find(peer, proto=proto).scheme == scheme


def test_a_peer_without_an_address() -> None:
    assert find("") == Client("unknown", "http")
    assert not is_internal(find(""), LOOPBACK)
    assert limit_key("unknown") == "unknown"


def test_internal_is_who_calls_from_an_internal_network() -> None:
    assert is_internal(find("127.0.0.1"), LOOPBACK)
    assert is_internal(find("::1"), LOOPBACK)
    assert is_internal(find("::ffff:127.0.0.1"), LOOPBACK)
    assert not is_internal(find("192.0.2.1"), LOOPBACK)
    assert not is_internal(find("127.0.0.1"), [])


def test_nobody_is_internal_through_a_proxy() -> None:
    assert not is_internal(find("127.0.0.1", "192.0.2.9"), LOOPBACK), "an untrusted one on this machine"
    assert not is_internal(find("10.0.0.1", "192.0.2.9"), LOOPBACK)
    assert not is_internal(find("10.0.0.1", "127.0.0.1, nonsense"), [*LOOPBACK, *TRUSTED])
    assert is_internal(find("10.0.0.1", "127.0.0.1"), LOOPBACK), "the trusted proxy vouches for it"


@pytest.mark.parametrize(
    ("given_key", "key", "good"),
    [
        ("k" * 16, "k" * 16, True),
        ("k" * 15, "k" * 16, False),
        (None, "k" * 16, False),
        ("", "", False),
        ("é", "é", True),
        ("\udc80", "é", False),
    ],
)
def test_the_internal_key(given_key: str | None, key: str, good: bool) -> None:
    assert internal_key_matches(given_key, key) is good


def test_an_ipv6_client_is_its_network() -> None:
    assert limit_key("2001:db8::1") == limit_key("2001:db8::ffff:1") == "2001:db8::/64"
    assert limit_key("2001:db8:0:1::1") != limit_key("2001:db8::1")
    assert limit_key("192.0.2.1") == "192.0.2.1"


@given(st.text(max_size=20), st.lists(st.text(max_size=60), max_size=3), st.lists(st.text(), max_size=2))
def test_whatever_comes_there_is_a_client(peer: str, forwarded: list[str], proto: list[str]) -> None:
    client = find_client(peer, forwarded, proto, TRUSTED)
    assert client.scheme in ("http", "https")
    assert client.address == "unknown" or parse_address(client.address) is not None


@given(st.lists(st.ip_addresses().map(str), max_size=5), st.ip_addresses(v=4, network="192.0.2.0/24"))
def test_what_a_client_writes_itself_changes_nothing(written: list[str], address: object) -> None:
    """The trusted proxy appends the real one."""
    assert find("10.0.0.1", *written, str(address)).address == str(address)


@pytest.mark.parametrize(
    ("origin", "fetch_site", "elsewhere"),
    [
        (None, None, False),
        (None, "none", False),
        (None, "same-origin", False),
        (None, "cross-site", True),
        (None, "same-site", True),
        ("http://127.0.0.1:8000", "same-origin", False),
        ("http://127.0.0.1:8000", None, False),
        ("http://evil.example", None, True),
        ("http://127.0.0.1:8001", None, True),
        ("null", None, True),
    ],
)
def test_a_page_of_another_site_is_told_from_our_own(
    origin: str | None, fetch_site: str | None, elsewhere: bool
) -> None:
    here = Client("127.0.0.1", "http")
    assert may_speak_for_a_page(here, "127.0.0.1:8000", origin, fetch_site) is elsewhere


@pytest.mark.parametrize(
    ("address", "host", "may"),
    [
        ("127.0.0.1", "localhost:8000", False),
        ("127.0.0.1", "127.0.0.1:8000", False),
        ("::1", "[::1]:8000", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "evil.example:8000", True),
        ("::1", "evil.example", True),
        ("127.0.0.1", "localhost.evil.example", True),
        ("10.0.0.5", "gateway-1:8000", False),
    ],
)
def test_a_name_pointed_at_this_machine_makes_no_page_our_own(address: str, host: str, may: bool) -> None:
    """DNS rebinding: origin and host agree, and both are the attacker's."""
    assert may_speak_for_a_page(Client(address, "http"), host, f"http://{host}", "same-origin") is may


def test_any_sign_of_a_relay_makes_an_untrusted_peer_speak_for_somebody_else() -> None:
    assert find_client("127.0.0.1", (), (), TRUSTED, relay_signs=True).relayed
    assert not find_client("127.0.0.1", (), (), TRUSTED).relayed
    behind = find_client("10.0.0.1", ("203.0.113.9",), (), TRUSTED, relay_signs=True)
    assert (behind.address, behind.relayed, behind.peer_trusted) == ("203.0.113.9", False, True)
