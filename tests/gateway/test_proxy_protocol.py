"""Headers of the PROXY protocol, however they come in."""

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy_protocol import (
    MAX_SIZE,
    MAX_SIZE_1,
    SIGNATURE,
    ProxyHeader,
    Unread,
    read_proxy_header,
)

LOCAL, PROXY = 0x20, 0x21
STREAM_4, STREAM_6, UNSPECIFIED, UNIX = 0x11, 0x21, 0x00, 0x31


def version_2(source: str, more: bytes = b"", *, command: int = PROXY) -> bytes:
    one, other = ip_address(source), ip_address("::1" if ":" in source else "127.0.0.1")
    body = one.packed + other.packed + struct.pack("!HH", 4711, 443) + more
    return raw_2(body, STREAM_6 if one.version == 6 else STREAM_4, command=command)


def raw_2(body: bytes, kind: int, *, command: int = PROXY) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, kind, len(body)) + body


def version_1(source: str) -> bytes:
    word, other = ("TCP6", "::1") if ":" in source else ("TCP4", "127.0.0.1")
    return f"PROXY {word} {source} {other} 4711 443\r\n".encode()


HEADERS = [
    (version_1("192.0.2.7"), "192.0.2.7"),
    (version_1("2001:db8::7"), "2001:db8::7"),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff:f...f:ffff and anything else\r\n", None),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n", "255.255.255.255"),
    (version_2("192.0.2.7"), "192.0.2.7"),
    (version_2("2001:db8::7"), "2001:db8::7"),
    (version_2("192.0.2.7", b"\x03\x00\x04abcd\x04\x00\x01x"), "192.0.2.7"),
    (version_2("192.0.2.7", command=LOCAL), None),
    (raw_2(b"", UNSPECIFIED), None),
    (raw_2(b"", UNSPECIFIED, command=LOCAL), None),
    (raw_2(b"whatever", 0xFF, command=LOCAL), None),
    (raw_2(bytes(216), UNIX), None),
]


@pytest.mark.parametrize(("header", "source"), HEADERS)
def test_a_header_is_read_wherever_it_is_split(header: bytes, source: str | None) -> None:
    for size in range(len(header)):
        assert read_proxy_header(header[:size]) is Unread.MORE, size
    for behind in (b"", b"GET / HTTP/1.1\r\n", SIGNATURE, b"\x00"):
        assert read_proxy_header(header + behind) == ProxyHeader(source, len(header))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01",
        b"\r\n\r\nGET",
        b"\n",
        b"proxy TCP4",
        b"PROXY\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        b"PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        b"PROXY TCP4 \xff.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY UNKNOWN" + b"x" * MAX_SIZE_1,
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n" + b"x" * MAX_SIZE_1,
        SIGNATURE + b"\x11",
        SIGNATURE + b"\x22",
        raw_2(b"", STREAM_4, command=0x31),
        raw_2(b"", STREAM_4),
        raw_2(bytes(11), STREAM_4),
        raw_2(bytes(35), STREAM_6),
        raw_2(bytes(215), UNIX),
        raw_2(bytes(300), 0x41),
        raw_2(bytes(12), 0x13),
        raw_2(bytes(MAX_SIZE), STREAM_4)[:16],
        raw_2(bytes(MAX_SIZE), UNSPECIFIED, command=LOCAL)[:16],
    ],
    ids=lambda data: repr(data[:60]),
)
def test_what_can_become_no_header_is_refused(data: bytes) -> None:
    assert read_proxy_header(data) is Unread.MALFORMED


ADDRESSES = st.ip_addresses().filter(lambda address: "%" not in str(address)).map(str)


@given(ADDRESSES, st.binary(max_size=100), st.binary(max_size=50))
def test_what_a_proxy_writes_is_read(source: str, additions: bytes, behind: bytes) -> None:
    for header in (version_1(source), version_2(source, additions)):
        assert read_proxy_header(header + behind) == ProxyHeader(source, len(header))


@given(st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11"]), st.binary(max_size=200))
def test_whatever_comes_is_judged_and_more_of_it_makes_nothing_good(begin: bytes, rest: bytes) -> None:
    data = begin + rest
    judged = [read_proxy_header(data[:size]) for size in range(len(data) + 1)]
    final = [one for one in judged if one is not Unread.MORE]
    assert all(one == final[0] for one in final)
    assert judged[len(judged) - len(final) :] == final
    if final and isinstance(final[0], ProxyHeader):
        assert final[0].size == len(judged) - len(final)


def test_no_header_is_waited_for_without_an_end() -> None:
    for begin in (b"PROXY UNKNOWN ", SIGNATURE + b"\x20\x00\xff\xff"):
        assert read_proxy_header(begin + b"x" * MAX_SIZE) is Unread.MALFORMED
