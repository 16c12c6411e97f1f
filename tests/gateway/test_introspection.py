"""What an issuer is asked, and what its answers mean."""

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from gateway.errors import Reason
from gateway.identity import Rejected, User
from gateway.introspection import UNAVAILABLE, Asker, asker, question, revocation_id, understood
from gateway.settings import IdentitySettings
from gateway.settings_identity import IntrospectionSettings
from tests.gateway.tokens import NOW

ADA = Asker("opaque", "ada")
BY_ANSWER = {"uid_parameter": ""}


def settings(**introspection: Any) -> IntrospectionSettings:
    return IntrospectionSettings.model_validate(introspection)


def heard(status: int, body: object, who: Asker = ADA, **introspection: Any) -> User | Rejected:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return understood(status, raw, who, settings(**introspection), IdentitySettings(), NOW)


def test_by_the_query_as_the_chat_system_asks() -> None:
    asked = question(Asker("a b&c=d", "ada"), settings())
    assert asked.method == "GET"
    assert asked.target == "/token_check?token=a+b%26c%3Dd&uid=ada"
    assert asked.body == b""


def test_a_path_may_have_a_query_of_its_own() -> None:
    assert question(ADA, settings(path="/check?v=2")).target == "/check?v=2&token=opaque&uid=ada"


def test_by_a_form_that_no_log_shows() -> None:
    asked = question(Asker("opaque", ""), settings(method="POST", path="/introspect", **BY_ANSWER))
    assert (asked.method, asked.target, asked.body) == ("POST", "/introspect", b"token=opaque")
    headers = dict(asked.headers)
    assert headers[b"Content-Type"] == b"application/x-www-form-urlencoded"
    assert int(headers[b"Content-Length"]) == len(asked.body)


@pytest.mark.parametrize(
    ("token", "uids", "expected"),
    [
        ("t", ["ada"], Asker("t", "ada")),
        ("t", ["ada", "ada"], Asker("t", "ada")),
        ("t", [], Reason.MISSING_PARAMETER),
        ("t", ["ada", "bob"], Reason.UID_MISMATCH),
        ("t", ["a\r\nb"], Reason.INVALID_TOKEN),
        ("t", ["\u0430da"], Reason.INVALID_TOKEN),
        ("", ["ada"], Reason.INVALID_TOKEN),
        ("a b", ["ada"], Reason.INVALID_TOKEN),
        ("é", ["ada"], Reason.INVALID_TOKEN),
        ("t" * 101, ["ada"], Reason.INVALID_TOKEN),
    ],
)
def test_who_is_asked_about(token: str, uids: list[str], expected: object) -> None:
    found = asker(token, uids, settings(), 100)
    assert (found.reason if isinstance(found, Rejected) else found) == expected


def test_the_answer_may_name_the_user_instead() -> None:
    assert asker("t", ["ada", "bob"], settings(**BY_ANSWER), 100) == Asker("t", "")


def test_two_askers_have_two_digests() -> None:
    assert len({Asker(*pair).digest for pair in (("a", "b"), ("ab", ""), ("a", "c"), ("c", "b"))}) == 4


@pytest.mark.parametrize("body", [b"", b"ok", b"[]", {"status": "success", "message": "Token is up to date"}])
def test_a_yes(body: object) -> None:
    user = heard(200, body)
    assert isinstance(user, User)
    assert (user.id, user.expires_at) == ("ada", NOW + 10)
    assert user.token_id == revocation_id("opaque")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
def test_a_no(status: int) -> None:
    refused = heard(status, {"status": "error"})
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.INVALID_TOKEN


@pytest.mark.parametrize("status", [100, 301, 302, 405, 408, 429, 500, 502, 503, 504])
def test_no_answer_about_the_token(status: int) -> None:
    assert heard(status, b"") is UNAVAILABLE


@pytest.mark.parametrize(
    "body",
    [
        *({"active": active} for active in (False, None, 0, "false", "true")),
        {"status": "error"},
        {"status": "Failed"},
        {"active": True, "token_type": "refresh_token"},
        b" false\n",
    ],
)
def test_a_no_with_the_status_of_a_yes(body: object) -> None:
    refused = heard(200, body)
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.INVALID_TOKEN


@pytest.mark.parametrize(
    "body", [b'{"active": false, "n": NaN}', b'\n{"active": true, "active": false}', b'{"act']
)
def test_an_answer_that_can_not_be_read_is_no_yes(body: bytes) -> None:
    assert heard(200, body) is UNAVAILABLE
    assert heard(200, body, Asker("opaque", ""), **BY_ANSWER) is UNAVAILABLE


@pytest.mark.parametrize("named", [{"sub": "bob"}, {"sub": "", "uid": "ada"}, {"user_id": 7}])
def test_a_token_of_somebody_else_is_not_the_uids_that_the_request_names(named: object) -> None:
    refused = heard(200, named)
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.UID_MISMATCH


@pytest.mark.parametrize(
    ("uid", "named"), [("ada", {"sub": "ada"}), ("7", {"user_id": 7}), ("ada", {"sub": None})]
)
def test_a_token_of_the_uid_that_the_request_names(uid: str, named: object) -> None:
    user = heard(200, named, Asker("opaque", uid))
    assert isinstance(user, User)
    assert user.id == uid


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"active": True, "sub": "ada"}, "ada"),
        ({"user_id": "ada"}, "ada"),
        ({"sub": 7}, None),
        ({"sub": "a\n"}, None),
        ({}, None),
        (b"", None),
    ],
)
def test_a_user_that_the_answer_names(body: object, name: str | None) -> None:
    found = heard(200, body, Asker("opaque", ""), **BY_ANSWER)
    assert (found.id if isinstance(found, User) else None) == name


def test_rights_are_read_from_the_answer() -> None:
    user = heard(200, {"active": True, "scope": "read write", "roles": ["admin"], "tier": "pro"})
    assert isinstance(user, User)
    assert (sorted(user.scopes), sorted(user.roles), user.tier) == (["read", "write"], ["admin"], "pro")


def test_it_is_not_believed_for_longer_than_the_token_lasts() -> None:
    assert getattr(heard(200, {"exp": NOW + 3}), "expires_at", None) == NOW + 3
    assert getattr(heard(200, {"exp": NOW + 300}), "expires_at", None) == NOW + 10
    assert getattr(heard(200, {"exp": NOW + 300}), "ends_at", None) == NOW + 300
    assert getattr(heard(200, {"exp": "soon"}), "ends_at", 0) is None
    assert getattr(heard(200, {"exp": "soon"}), "expires_at", None) == NOW + 10
    assert getattr(heard(200, {"exp": NOW}), "reason", None) is Reason.EXPIRED_TOKEN


def test_what_is_asked_can_be_read_back() -> None:
    who = Asker("~!@#$%^&*()=+;:'\",<>/?\\|", "u 1")
    query = question(who, settings()).target.partition("?")[2]
    assert parse_qs(query, strict_parsing=True) == {"token": [who.token], "uid": [who.uid]}
