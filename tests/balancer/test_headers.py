"""RELIABILITY 3.1 H4-H7 and H18: what a client may not say, and what instances may believe."""

from dataclasses import replace
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.headers import (
    HOP_BY_HOP,
    OVERRIDES,
    VOUCHED,
    ForwardFacts,
    encode_member,
    encode_user,
    for_client,
    for_upstream,
    guarded_names,
    values_of,
)
from balancer.model import Headers

FACTS = ForwardFacts(peer="203.0.113.9", scheme="http", user_id="ann")
BEHIND_PROXY = ForwardFacts(peer="10.0.0.1", scheme="http", peer_trusted=True)
SET_ANEW: Headers = [
    (b"X-Forwarded-For", b"203.0.113.9"),
    (b"X-Forwarded-Proto", b"http"),
    (b"X-Forwarded-Host", b"chat.example"),
    (b"X-User-Id", b"ann"),
]
HOST = (b"Host", b"chat.example")

names = st.sampled_from(
    [
        *sorted(HOP_BY_HOP | VOUCHED),
        b"host",
        b"x_user_id",
        b"x-internal-key",
        b"cookie",
        b"accept",
        b"forwarded",
    ]
).flatmap(lambda name: st.sampled_from([name, name.title(), name.upper()]))
pairs = st.lists(
    st.tuples(names, st.sampled_from([b"a", b"x-user-id, cookie", b"X-Request-Id", b""])), max_size=12
)


def test_what_is_the_clients_own_keeps_order_case_and_duplicates() -> None:
    own = [
        HOST,
        (b"accept", b"a"),
        (b"X-Odd-Case", b"1"),
        (b"Cookie", b"x=1"),
        (b"cookie", b"y=2"),
        (b"ACCEPT", b"b"),
    ]
    assert for_upstream(own, FACTS) == [*own, *SET_ANEW]


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_hop_by_hop_headers_end_here_both_ways(name: bytes) -> None:
    headers = [HOST, (name.title(), b"whatever")]
    assert for_upstream(headers, FACTS) == [HOST, *SET_ANEW]
    assert for_client([(b"X-A", b"1"), (name.upper(), b"whatever")]) == [(b"X-A", b"1")]


@pytest.mark.parametrize("name", sorted(OVERRIDES))
@pytest.mark.parametrize("facts", [FACTS, BEHIND_PROXY], ids=["a stranger", "a trusted proxy"])
def test_nobody_names_another_method_or_path_but_the_route(name: bytes, facts: ForwardFacts) -> None:
    said: Headers = [(name.title(), b"/admin"), (name.replace(b"-", b"_"), b"/admin")]
    assert for_upstream([HOST, *said], facts) == for_upstream([HOST], facts)
    own = replace(facts, set_headers=((name, b"/mine"),))
    assert values_of(for_upstream([HOST, *said], own), name) == [b"/mine"]


def test_names_listed_in_connection_end_here_both_ways() -> None:
    listed = [
        (b"Connection", b"close, X-Mine"),
        (b"connection", b" x-other "),
        (b"X-MINE", b"1"),
        (b"x-other", b"2"),
    ]
    assert for_upstream([HOST, *listed], FACTS) == [HOST, *SET_ANEW]
    assert for_client(listed) == []


@given(headers=pairs)
def test_vouched_headers_always_arrive_once_and_as_set(headers: Headers) -> None:
    """H4, H6, H7: whatever an untrusted client sends beside them."""
    sent = for_upstream(headers, FACTS)
    for name, value in SET_ANEW:
        if name != b"X-Forwarded-Host":
            assert values_of(sent, name.lower()) == [value]
    assert not values_of(sent, b"x-internal-key")
    assert not any(b"_" in name or name.lower() in HOP_BY_HOP for name, _ in sent)


@given(headers=pairs)
def test_nothing_is_invented_or_reordered(headers: Headers) -> None:
    """What is forwarded of the client's headers is a subsequence of them."""
    sent = for_upstream(headers, FACTS)
    rest = iter(headers)
    assert all(pair in rest for pair in sent[: len(sent) - len(_vouched(sent))])


def _vouched(sent: Headers) -> Headers:
    return [pair for pair in sent if pair[0].lower() in VOUCHED]


def test_connection_may_not_remove_framing_and_routing() -> None:
    headers = [HOST, (b"Connection", b"host, content-length"), (b"Content-Length", b"3")]
    assert for_upstream(headers, FACTS) == [HOST, (b"Content-Length", b"3"), *SET_ANEW]


@pytest.mark.parametrize(
    "spoofed",
    [
        (b"X-Forwarded-For", b"127.0.0.1"),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-Host", b"evil"),
        (b"X-Real-IP", b"127.0.0.1"),
        (b"Forwarded", b"for=127.0.0.1"),
        (b"X-Request-Id", b"mine"),
        (b"X-User-Id", b"admin"),
        (b"X_User_Id", b"admin"),
        (b"x-user_id", b"admin"),
        (b"X_Forwarded_For", b"127.0.0.1"),
        (b"X_Real_IP", b"127.0.0.1"),
        (b"x_internal_key", b"secret"),
        (b"X-Internal-Key", b"secret"),
        (b"Content_Length", b"99"),
        (b"Transfer_Encoding", b"chunked"),
        (b"Expect", b"100-continue"),
        (b"Proxy", b"http://evil"),
    ],
)
def test_what_a_client_may_not_say_is_dropped(spoofed: tuple[bytes, bytes]) -> None:
    assert for_upstream([HOST, spoofed], FACTS) == [HOST, *SET_ANEW]


def test_other_underscores_are_the_clients_business() -> None:
    assert (b"my_header", b"1") in for_upstream([(b"my_header", b"1")], FACTS)


def test_a_trusted_proxy_is_believed_and_added_to_the_chain() -> None:
    sent = for_upstream(
        [
            HOST,
            (b"X-Forwarded-For", b"198.51.100.7, 10.0.0.3"),
            (b"x-forwarded-for", b"10.0.0.2"),
            (b"X-Forwarded-Proto", b"https"),
            (b"X-Forwarded-Host", b"public.example"),
            (b"X-Real-IP", b"198.51.100.7"),
            (b"Forwarded", b"for=198.51.100.7"),
        ],
        BEHIND_PROXY,
    )
    assert values_of(sent, b"x-forwarded-for") == [b"198.51.100.7, 10.0.0.3, 10.0.0.2, 10.0.0.1"]
    assert values_of(sent, b"x-forwarded-proto") == [b"https"]
    assert values_of(sent, b"x-forwarded-host") == [b"public.example"]
    assert values_of(sent, b"x-real-ip") == [b"198.51.100.7"]
    assert values_of(sent, b"forwarded") == [b"for=198.51.100.7"]


def test_a_trusted_proxys_chain_survives_a_connection_header_it_let_through() -> None:
    """CVE-2022-31813: else the client would look like the proxy."""
    headers = [HOST, (b"Connection", b"X-Forwarded-For"), (b"X-Forwarded-For", b"198.51.100.7")]
    sent = for_upstream(headers, BEHIND_PROXY)
    assert values_of(sent, b"x-forwarded-for") == [b"198.51.100.7, 10.0.0.1"]


def test_nobody_verified_means_no_user_at_all() -> None:
    anonymous = ForwardFacts(peer="203.0.113.9", scheme="https")
    sent = for_upstream([HOST, (b"X-User-Id", b"admin")], anonymous)
    assert values_of(sent, b"x-user-id") == []
    assert values_of(sent, b"x-forwarded-proto") == [b"https"]


def test_a_routes_headers_replace_the_clients_but_never_what_is_vouched_for() -> None:
    route = ForwardFacts(
        peer="203.0.113.9",
        scheme="http",
        user_id="ann",
        set_headers=((b"Authorization", b"Basic abc"), (b"X-User-Id", b"root")),
    )
    sent = for_upstream([HOST, (b"authorization", b"Bearer x")], route)
    assert sent == [HOST, (b"Authorization", b"Basic abc"), *SET_ANEW]


def test_host_is_the_clients_unless_the_route_says_otherwise() -> None:
    route = ForwardFacts(peer="203.0.113.9", scheme="http", user_id="ann", pass_host=False)
    assert for_upstream([HOST], route) == SET_ANEW


@given(user=st.text(st.characters(codec=None), max_size=20))
def test_a_user_id_is_one_safe_header_value_and_can_be_read_back(user: str) -> None:
    """H18: line breaks, controls, lone surrogates and other scripts; never raw, never an error."""
    value = encode_user(user)
    assert all(0x21 <= byte < 0x7F for byte in value)
    assert unquote(value.decode(), errors="surrogatepass") == user


def test_two_users_never_become_one() -> None:
    assert encode_user("a\r\nX: y") == b"a%0D%0AX:%20y"
    assert encode_user("a%0D%0AX:%20y") != encode_user("a\r\nX: y")
    assert encode_user("ann@example.com+x/1") == b"ann@example.com+x/1"


def test_an_answer_keeps_its_cookies_and_loses_what_is_ours_to_say() -> None:
    answer = [
        (b"Server", b"Python/3.11 aiohttp/3.14.5"),
        (b"Set-Cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"Set-Cookie", b"a=1"),
        (b"Content-Length", b"3"),
        (b"X-Quaymaster-Instance", b"spoofed"),
        (b"Connection", b"set-cookie, content-length, keep-alive"),
    ]
    assert for_client(answer) == [*answer[1:4], (b"Content-Length", b"3")]


@pytest.mark.parametrize(
    "name", [b"X-Request-Timeout-Ms", b"x_request_timeout_ms", b"X-Quaymaster-Eject", b"x_quaymaster_eject"]
)
def test_what_is_said_between_us_and_instances_is_not_taken_from_clients(name: bytes) -> None:
    assert name not in dict(for_upstream([(b"Host", b"x"), (name, b"1")], ForwardFacts("192.0.2.1", "http")))


def test_an_instances_wish_to_be_left_alone_does_not_reach_the_client() -> None:
    assert for_client([(b"X-Quaymaster-Eject", b"30"), (b"A", b"b")]) == [(b"A", b"b")]


def test_what_carries_claims_is_nobody_elses_to_say() -> None:
    """Nor is what carries none in this request: a user without roles has none."""
    claims = ((b"X-User-Roles", b"admin"),)
    guarded = guarded_names(["X-User-Roles", "X_Plan"])
    theirs = [
        *((b"X-User-Roles", b"root"), (b"x_user_roles", b"root"), (b"x-user_roles", b"root")),
        *((b"X-Plan", b"gold"), (b"x_plan", b"gold"), (b"Connection", b"X-User-Roles, X-Plan")),
    ]
    facts = ForwardFacts("192.0.2.1", "http", user_id="ada", claims=claims, remove_headers=guarded)
    sent = for_upstream(theirs, facts)
    nobody = for_upstream(theirs, ForwardFacts("192.0.2.1", "http", remove_headers=guarded))

    def believed(headers: Headers) -> list[tuple[bytes, bytes]]:
        plain = [(name.lower().replace(b"_", b"-"), value) for name, value in headers]
        return [pair for pair in plain if pair[0] in (b"x-user-roles", b"x-plan")]

    assert believed(sent) == [(b"x-user-roles", b"admin")]
    assert believed(nobody) == []


@given(st.lists(st.text(min_size=1), min_size=1))
def test_a_list_stays_a_list_of_as_many(members: list[str]) -> None:
    joined = b",".join(map(encode_member, members)).decode()
    assert [unquote(part, errors="surrogatepass") for part in joined.split(",")] == members
