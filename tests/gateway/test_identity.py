"""What a request brings to say who it is from, and what its user must have."""

import pytest
from multidict import CIMultiDict

from gateway.errors import Reason
from gateway.identity import (
    Rejected,
    User,
    claimed_uids,
    credentials,
    required,
    uid_problem,
    usable_user,
)

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        ([("Authorization", "Bearer abc")], "abc"),
        ([("authorization", "bEARER  abc ")], "abc"),
        ([("TOKEN", "abc")], "abc"),
        ([("token", "abc"), ("Authorization", "Bearer abc")], "abc"),
        ([("Authorization", "Basic abc")], None),
        ([("Authorization", "Basic abc"), ("token", "xyz")], "xyz"),
        ([("Authorization", "Bearer")], ""),
        ([("token", "")], ""),
    ],
)
def test_where_a_token_is_looked_for(headers: list[tuple[str, str]], expected: str | None) -> None:
    assert credentials(CIMultiDict(headers)) == expected


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Bearer a"), ("Authorization", "Bearer a")],
        [("Authorization", "Basic a"), ("Authorization", "Bearer a")],
        [("token", "a"), ("token", "a")],
        [("token", "a"), ("Authorization", "Bearer b")],
    ],
)
def test_two_credentials_are_refused(headers: list[tuple[str, str]]) -> None:
    refused = credentials(CIMultiDict(headers))
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.BAD_REQUEST
    assert refused.error().status == 400


@pytest.mark.parametrize(
    ("uids", "query", "good"),
    [
        ([], "", True),
        (["u 1"], "?uid=u+1", True),
        (["u 1"], "?a=b&uid=u%201&uid=u%201", True),
        (["u2"], "", False),
        (["u 1", "u2"], "", False),
        ([], "?uid=u2", False),
        ([], "?uid=u%201&uid=u2", False),
        ([], "?%75id=u2", False),
        ([], "?uid=", False),
        ([], "?uid", False),
        ([], "?uidx=u2&x=uid", True),
        ([], "?a=1;uid=u2", False),
        ([], "?uid=u%201;uid=u2", False),
        ([], "?a=1;uid=u%201", True),
        (["U 1"], "", False),
    ],
)
def test_a_claimed_uid_is_the_tokens_user(uids: list[str], query: str, good: bool) -> None:
    user = User("u 1", None, NOW)
    found = uid_problem(user, claimed_uids(uids, query))
    assert found is None if good else found is not None and found.reason is Reason.UID_MISMATCH


@pytest.mark.parametrize(
    ("roles", "scopes", "lacking"),
    [
        (["admin"], [], None),
        (["owner", "admin"], [], None),
        (["owner"], [], Reason.MISSING_ROLE),
        (["Admin"], [], Reason.MISSING_ROLE),
        ([], ["read"], None),
        ([], ["read", "write"], Reason.MISSING_SCOPE),
        (["admin"], ["write"], Reason.MISSING_SCOPE),
        (["owner"], ["write"], Reason.MISSING_ROLE),
    ],
)
def test_one_of_the_roles_and_all_of_the_scopes(
    roles: list[str], scopes: list[str], lacking: Reason | None
) -> None:
    ada = User("ada", None, NOW, roles=frozenset({"admin", "user"}), scopes=frozenset({"read"}))
    needed = required(roles, scopes)
    assert needed is not None
    assert needed.lacking(ada) is lacking


def test_nothing_required_is_nothing_to_ask() -> None:
    assert required((), ()) is None


@pytest.mark.parametrize(
    "name", ["", " a", "a ", "a\n", "\x7f", "a" * 256, "\u0430dmin", "\ud800", 7, None, ["a"]]
)
def test_what_no_user_is_called(name: object) -> None:
    assert usable_user(name) is None


def test_what_is_rejected_may_say_something_of_its_own() -> None:
    assert Rejected(Reason.MISSING_PARAMETER, message="uid is missing.").error().message == "uid is missing."
    assert Rejected(Reason.INVALID_TOKEN, "detail").error().message == "The token is not valid."
