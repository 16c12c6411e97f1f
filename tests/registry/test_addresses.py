import socket
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.addresses import (
    AddressPolicy,
    HostName,
    address_policy,
    is_loopback_host,
    read_host,
    read_literal,
    split_address,
)

ANYWHERE = address_policy((), loopback=False)
LOCAL = address_policy((), loopback=True)


def refused(policy: AddressPolicy, text: str) -> bool:
    return policy.refusal(read_literal(text)) is not None


@pytest.mark.parametrize(
    "text",
    [
        "127.1", "0x7f000001", "0x7f.1", "2130706433", "0", "010.0.0.1", "1.2.3", "1.2.3.4.5", "256.1.1.1",
        "0x7f.0.0.0x1", "1.2.3.0x4.", "", ".", "a..b", "-a.example", "a b", "a/b", "http://a", "a:80",
        "[::1]", "::1%lo", "fe80::1%eth0", "bücher.example", "\uff11\uff12\uff17.0.0.1",
        "a\n", "a" * 64, "a." * 127 + "bc",
    ],
)  # fmt: skip
def test_odd_forms_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_host(text)


def test_an_ipv4_address_in_an_ipv6_coat_is_read_as_what_it_means() -> None:
    assert read_host("::ffff:127.0.0.1") == ip_address("127.0.0.1")
    assert read_host("::ffff:a9fe:a9fe") == ip_address("169.254.169.254")
    assert refused(ANYWHERE, "::ffff:169.254.169.254")


@pytest.mark.parametrize("text", ["auth", "auth-1.internal", "db_1.example.com.", "x--y.9a"])
def test_names_are_left_for_the_resolver(text: str) -> None:
    assert read_host(text) == HostName(text)


@pytest.mark.parametrize("text", ["10.1.2.3", "192.168.0.7", "8.8.8.8", "fd12::7", "2a00:1450::1"])
def test_ordinary_addresses_are_believed(text: str) -> None:
    assert ANYWHERE.refusal(read_literal(text)) is None


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0", "::", "169.254.169.254", "169.254.0.1", "fe80::1", "224.0.0.1", "ff02::1",
        "255.255.255.255", "240.0.0.1", "0.1.2.3", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001::1",
        "::7f00:1", "fd00:ec2::254", "100.100.100.200", "168.63.129.16",
    ],
)  # fmt: skip
def test_special_places_are_refused_also_to_a_local_registry(text: str) -> None:
    assert refused(LOCAL, text)
    assert refused(ANYWHERE, text)


@pytest.mark.parametrize("text", ["127.0.0.1", "127.8.9.10", "::1"])
def test_loopback_is_believed_only_from_a_loopback_registry(text: str) -> None:
    assert not refused(LOCAL, text)
    assert refused(ANYWHERE, text)


def test_with_allowed_networks_everything_else_is_refused() -> None:
    policy = address_policy(("10.0.0.0/8", "fd00::/8"), loopback=True)
    assert not refused(policy, "10.9.9.9")
    assert not refused(policy, "fd00::9")
    assert refused(policy, "192.168.1.1")
    assert refused(policy, "127.0.0.1")


def test_a_wide_network_does_not_open_the_special_places() -> None:
    wide = address_policy(("0.0.0.0/0", "::/0"), loopback=False)
    for text in ("169.254.169.254", "127.0.0.1", "::1", "fe80::1", "fd00:ec2::254", "0.0.0.0", "ff02::1"):
        assert refused(wide, text)
    assert not refused(wide, "8.8.8.8")


def test_a_special_place_is_opened_by_its_own_name() -> None:
    named = address_policy(("127.0.0.0/8", "169.254.7.0/24"), loopback=False)
    assert not refused(named, "127.0.0.1")
    assert not refused(named, "169.254.7.9")
    assert refused(named, "169.254.169.254")
    unspecified = address_policy(("0.0.0.0/32", "224.0.0.0/4"), loopback=False)
    assert refused(unspecified, "0.0.0.0")
    assert refused(unspecified, "224.0.0.1")


def test_a_setting_that_is_no_network_is_named() -> None:
    with pytest.raises(ValueError, match=r"allowed_networks.*10\.0\.0\.1/8"):
        address_policy(("10.0.0.1/8",), loopback=False)


@given(st.ip_addresses())
def test_policies_judge_every_address_without_an_error(address: object) -> None:
    literal = read_literal(str(address))
    if LOCAL.refusal(literal) is not None:
        assert ANYWHERE.refusal(literal) is not None


@given(st.text(alphabet=st.sampled_from("019axf.:-_%[]\n ")) | st.text())
def test_a_host_has_one_reading_whoever_reads_it(text: str) -> None:
    try:
        host = read_host(text)
    except ValueError:
        return
    if isinstance(host, HostName):
        assert host.name == text
        assert text.isascii()
        with pytest.raises(OSError):
            socket.inet_aton(text)  # what a lenient resolver would take for a number
    else:
        assert read_host(str(host)) == host


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.5.5.5", "::1", "localhost", "LOCALHOST.", "::ffff:127.0.0.1"]
)
def test_a_registry_on_this_machine(host: str) -> None:
    assert is_loopback_host(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "consul", "localhost.example.com", "127.1", ""])
def test_a_registry_elsewhere(host: str) -> None:
    assert not is_loopback_host(host)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("127.0.0.1:8500", ("127.0.0.1", 8500)),
        ("consul", ("consul", 8500)),
        ("consul:0", ("consul", 0)),
        ("[::1]:9", ("::1", 9)),
        ("[::1]", ("::1", 8500)),
    ],
)
def test_addresses_are_split(text: str, read: tuple[str, int]) -> None:
    assert split_address(text, 8500) == read


@pytest.mark.parametrize(
    "text", ["", ":8500", "a:", "a:b", "a:-1", "a:65536", "::1", "::1:8500", "[::1", "[::1]9", "a:٣"]
)
def test_what_is_no_address_is_refused_with_the_fix(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        split_address(text, 8500)
