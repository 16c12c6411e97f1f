"""What verified claims say, and which are refused."""

from typing import Any

import pytest

from gateway.claims import claim_of, is_time, read_claims
from gateway.errors import Reason
from gateway.identity import Rejected, User
from gateway.settings import IdentitySettings
from tests.gateway.tokens import GOOD, NOW


def judged(claims: object, **settings: Any) -> User | Rejected:
    return read_claims(claims, IdentitySettings.model_validate(settings), NOW, "id")


def user(claims: dict[str, Any], **settings: Any) -> User:
    found = judged({**GOOD, **claims}, **settings)
    assert isinstance(found, User), found
    return found


REFUSED: list[Any] = [
    *({"sub": "u1"}, {"sub": "u1", "exp": None}, {**GOOD, "exp": "9999999999"}, {**GOOD, "exp": [NOW + 60]}),
    *({**GOOD, "exp": True}, {**GOOD, "exp": float("nan")}, {**GOOD, "exp": float("inf")}),
    *({**GOOD, "exp": 10**400}, {**GOOD, "exp": 1e300}, {**GOOD, "exp": -1}, {**GOOD, "exp": {}}),
    *({**GOOD, "nbf": "soon"}, {**GOOD, "iat": []}, {**GOOD, "nbf": NOW + 31}, {**GOOD, "iat": NOW + 31}),
    *(
        {"exp": NOW + 60},
        {**GOOD, "sub": 7},
        {**GOOD, "sub": ""},
        {**GOOD, "sub": None},
        {**GOOD, "sub": ["a"]},
    ),
    *({**GOOD, "sub": "a\r\nX: y"}, {**GOOD, "sub": "é"}, {**GOOD, "sub": "\ud800"}, {**GOOD, "sub": " a"}),
    *({**GOOD, "sub": "a\x00"}, {**GOOD, "sub": "a" * 256}, {**GOOD, "sub": "a\n"}, {**GOOD, "aud": "x"}),
    *({**GOOD, "sub": "\u0430dmin"}, {"\u0455ub": "u1", "exp": NOW + 60}, {**GOOD, "aud": []}),
    *({**GOOD, "jti": 7}, {**GOOD, "jti": ["a"]}, {**GOOD, "jti": None}, {**GOOD, "iss": ["a"]}),
    *({**GOOD, "uid": 7}, {**GOOD, "user_id": {}}, {**GOOD, "iss": None}, {**GOOD, "aud": {"a": 1}}),
    *(
        {**GOOD, "Sub": "root"},
        {**GOOD, "\u017fub": "root"},
        {**GOOD, "EXP": 1},
        {**GOOD, "s\uff55b": "root"},
    ),
    *([], "u1", 7, None),
]


@pytest.mark.parametrize("claims", REFUSED, ids=lambda claims: ascii(claims)[:60])
def test_what_is_refused(claims: object) -> None:
    refused = judged(claims)
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.INVALID_TOKEN


def test_claims_that_nobody_here_reads_may_look_alike() -> None:
    assert user({"Name": "A", "name": "a"}).id == "u1"


def test_the_leeway_holds_both_ways() -> None:
    assert isinstance(judged({**GOOD, "exp": NOW - 30}), User)
    assert judged({**GOOD, "exp": NOW - 31}) == Rejected(Reason.EXPIRED_TOKEN, "expired")
    assert isinstance(judged({**GOOD, "nbf": NOW + 30, "iat": NOW + 30}), User)
    assert isinstance(judged({**GOOD, "iat": NOW + 1}, leeway_s=0), Rejected)


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({"iss": "auth", "aud": "chat"}, True),
        ({"iss": "auth", "aud": ["x", "chat"]}, True),
        ({"iss": "aut", "aud": "chat"}, False),
        ({"iss": "auth", "aud": "x"}, False),
        ({"iss": "auth", "aud": "chatty"}, False),
        ({"iss": "auth"}, False),
        ({"aud": "chat"}, False),
        ({"iss": ["auth"], "aud": "chat"}, False),
        ({"iss": "auth", "aud": ["chat", 7]}, False),
    ],
)
def test_issuer_and_audience(claims: dict[str, Any], good: bool) -> None:
    found = judged({**GOOD, **claims}, issuer="auth", audience="chat")
    assert isinstance(found, User) is good


def test_the_first_user_claim_counts() -> None:
    names = ["uid", "sub"]
    assert user({"uid": "u2"}, user_claim=names).id == "u2"
    assert isinstance(judged({**GOOD, "uid": ""}, user_claim=names), Rejected), (
        "a broken one is not passed over"
    )


@pytest.mark.parametrize("tier", [None, 7, ["free"], "a b", "x" * 65, "é", ""])
def test_an_odd_tier_is_none(tier: object) -> None:
    assert user({"tier": tier}).tier is None


def test_the_tier_may_stand_elsewhere() -> None:
    assert user({"tier": "free", "plan": {"name": "pro"}}, tier_claim="plan.name").tier == "pro"


@pytest.mark.parametrize(
    ("value", "roles"),
    [
        (["a", "b"], {"a", "b"}),
        ("a b", {"a b"}),
        (["a", 7, None, ""], {"a"}),
        ({"a": True}, set()),
        (7, set()),
        ("", set()),
    ],
)
def test_roles(value: object, roles: set[str]) -> None:
    assert user({"roles": value, "role": "other"}).roles == roles


def test_the_first_roles_claim_counts_and_may_be_inside_of_an_object() -> None:
    assert user({"role": "r"}).roles == {"r"}
    inside = {"realm_access": {"roles": ["r"]}}
    assert user(inside, roles_claim=["realm_access.roles"]).roles == {"r"}


@pytest.mark.parametrize("value", ["read write", ["read", "write"], " read  write "])
def test_scopes(value: object) -> None:
    assert user({"scope": value}).scopes == {"read", "write"}


@pytest.mark.parametrize(
    ("value", "header"),
    [
        ("admin", b"admin"),
        ("a\r\nX: y", b"a%0D%0AX:%20y"),
        ("100 %", b"100%20%25"),
        ("é", b"%C3%A9"),
        ("\ud800", b"%ED%A0%80"),
        (["a", "b c", "d,e"], b"a,b%20c,d%2Ce"),
        (["a", 7, None, {}, True], b"a,7,true"),
        (7, b"7"),
        (1.5, b"1.5"),
        (False, b"false"),
    ],
)
def test_claims_as_headers(value: object, header: bytes) -> None:
    assert user({"x": value}, claim_headers={"X-It": "x"}).headers == ((b"X-It", header),)


@pytest.mark.parametrize("claims", [{}, {"x": None}, {"x": {}}, {"x": []}, {"x": ""}, {"x": [None]}])
def test_claims_that_make_no_header(claims: dict[str, Any]) -> None:
    assert user(claims, claim_headers={"X-It": "x"}).headers == ()


def test_a_name_with_dots_is_first_of_all_a_name() -> None:
    claims = {"https://example.org/roles": 1, "a.b": 2, "a": {"b": 3, "c": {"d": 4}}}
    assert claim_of(claims, "https://example.org/roles") == 1
    assert claim_of(claims, "a.b") == 2
    assert claim_of(claims, "a.c.d") == 4
    assert claim_of(claims, "a.c.d.e") is None
    assert claim_of(claims, "b") is None


def test_times() -> None:
    assert all(map(is_time, (0, 1.5, NOW)))
    assert not any(map(is_time, (True, "1", None, -1, float("nan"), 10**400, 1e300)))


@pytest.mark.parametrize(
    "kind",
    [{"type": "refresh"}, {"token_type": "Refresh"}, {"typ": "Offline"}, {"token_use": "refresh_token"}],
)
def test_a_refresh_token_lets_nobody_in(kind: dict[str, str]) -> None:
    refused = judged({**GOOD, **kind})
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.INVALID_TOKEN


@pytest.mark.parametrize(
    "kind", [{"type": "access"}, {"token_type": "bearer"}, {"typ": 7}, {"kind": "refresh"}]
)
def test_other_kinds_are_for_their_issuer_to_tell_apart(kind: dict[str, Any]) -> None:
    assert user(kind).id == GOOD["sub"]
