"""`Forwarded`, and what clients try to make of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.forwarded import MAX_ELEMENT, Hop, hops


def read(*values: str) -> list[Hop | None]:
    return list(hops(values))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", [Hop("192.0.2.60", "http")]),
        ('For="[2001:db8:cafe::17]:4711"', [Hop("2001:db8:cafe::17", "")]),
        ("for=192.0.2.43, for=198.51.100.17", [Hop("198.51.100.17", ""), Hop("192.0.2.43", "")]),
        ('for=_gazonk, for="_SEVKISEK"', [Hop("", ""), Hop("", "")]),
        ("proto=https", [Hop("", "https")]),
        ('for="192.0.2.4\\3"', [Hop("192.0.2.43", "")]),
        ('for=192.0.2.1;x="a, for=10.0.0.9"', [Hop("192.0.2.1", "")]),
        ('for=192.0.2.1;x="a, for=10.0.0.9, y="', [Hop("192.0.2.1", "")]),
        ('for="[::1]:99999999"', [Hop("", "")]),
    ],
)
def test_what_proxies_say(value: str, found: list[Hop]) -> None:
    """The first ones are of RFC 7239, 4 and 7."""
    assert read(value) == found


def test_the_last_header_is_the_nearest_proxys() -> None:
    assert read("for=1.1.1.1, for=2.2.2.2", "for=3.3.3.3") == [
        Hop("3.3.3.3", ""),
        Hop("2.2.2.2", ""),
        Hop("1.1.1.1", ""),
    ]


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "for",
        "for=",
        "=1.1.1.1",
        "for=1.1.1.1;",
        "for=1.1.1.1;for=2.2.2.2",
        'for="1.1.1.1',
        "for=[::1]",
    ],
)
def test_what_is_no_element_ends_the_reading(value: str) -> None:
    assert read(value) == [None]
    assert read(f"for=1.1.1.1, {value}, for=2.2.2.2")[0] == Hop("2.2.2.2", "")
    assert read(value, "for=2.2.2.2") == [Hop("2.2.2.2", ""), None]


def test_an_element_is_read_up_to_a_bound() -> None:
    assert read(f"for=1.1.1.1;x={'y' * (MAX_ELEMENT - 20)}") == [Hop("1.1.1.1", "")]
    assert read("," * 100_000) == [None]


ADDRESSES = st.ip_addresses().map(str)
TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def element(address: str, more: str) -> str:
    node = f'"[{address}]"' if ":" in address else address
    return f"for={node};ext={quoted(more)};proto=https"


@given(st.lists(st.tuples(ADDRESSES, TEXT), min_size=1, max_size=4))
def test_what_is_written_is_read_again(written: list[tuple[str, str]]) -> None:
    value = ", ".join(element(address, more) for address, more in written)
    assert read(value) == [Hop(address, "https") for address, _ in reversed(written)]


@given(TEXT, ADDRESSES)
def test_what_a_client_writes_changes_nothing_of_what_the_proxy_appends(written: str, address: str) -> None:
    appended = element(address, "")
    assert read(f"{written}, {appended}")[0] == Hop(address, "https")
    assert read(written, appended)[0] == Hop(address, "https")


@given(st.lists(st.text(max_size=60), max_size=3))
def test_whatever_comes_is_read_to_an_end(values: list[str]) -> None:
    found = read(*values)
    assert None not in found[:-1]
