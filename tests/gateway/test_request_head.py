"""What is read from headers; who a client is has tests of its own, and so have tokens."""

from ipaddress import ip_network

import pytest
from multidict import CIMultiDict

from gateway.deadlines import Malformed
from gateway.identity import Rejected
from gateway.request_head import RequestHead, read_head

PROXIES = (ip_network("10.0.0.0/8"),)


def head_of(*headers: tuple[str, str], peer: str = "192.0.2.1") -> RequestHead:
    raw = tuple((name.encode(), value.encode()) for name, value in headers)
    return read_head(CIMultiDict(headers), raw, peer, PROXIES)


def test_a_head_without_headers_says_nothing() -> None:
    head = head_of()
    assert (head.hosts, head.origin, head.token, head.uids, head.request_id) == ((), None, None, (), "")
    assert (head.hops, head.keyed, head.expects, head.upgrades) == ((), False, False, False)
    assert head.forwarded is None
    assert (head.client.address, head.client.relayed) == ("192.0.2.1", False)


def test_names_are_found_whatever_their_case_and_repeats_are_kept() -> None:
    head = head_of(
        ("hOST", "a"),
        ("HOST", "b"),
        ("origin", "https://o.example"),
        ("TOKEN", "t"),
        ("Uid", "ada"),
        ("uID", "bob"),
        ("x-quaymaster-hop", "1"),
        ("X-QUAYMASTER-HOP", "2"),
        ("idempotency-key", "k"),
        ("EXPECT", "100-continue"),
        ("upgrade", "websocket"),
    )
    assert (list(head.hosts), head.origin, head.token) == (["a", "b"], "https://o.example", "t")
    assert (list(head.uids), list(head.hops)) == (["ada", "bob"], ["1", "2"])
    assert head.keyed
    assert head.expects
    assert head.upgrades


def test_what_the_caller_has_left_is_read_with_the_rest() -> None:
    assert head_of().deadline_s is None
    assert head_of(("x-request-timeout-MS", "1500")).deadline_s == 1.5
    assert isinstance(head_of(("X-Request-Timeout-Ms", "soon")).deadline_s, Malformed)


def test_two_tokens_are_none() -> None:
    assert isinstance(head_of(("token", "a"), ("Authorization", "Bearer b")).token, Rejected)


@pytest.mark.parametrize(("given", "used"), [("r-1", "r-1"), ("a b", ""), ("", ""), ("x" * 500, "")])
def test_a_clients_request_id_is_used_only_if_it_may_be(given: str, used: str) -> None:
    assert head_of(("X-Request-Id", given)).request_id == used


@pytest.mark.parametrize("sign", ["Forwarded", "Via", "X-Forwarded-For", "x-forwarded-host", "X-REAL-IP"])
def test_a_stranger_that_speaks_for_others_is_nobody_in_particular(sign: str) -> None:
    assert head_of((sign, "10.1.1.1")).client.relayed


def test_a_trusted_proxy_says_who_the_client_is() -> None:
    said = (("X-Forwarded-For", "198.51.100.7"), ("X-Forwarded-Proto", "https"))
    client = head_of(*said, peer="10.0.0.1").client
    assert (client.address, client.scheme, client.peer_trusted) == ("198.51.100.7", "https", True)
