"""What is remembered, for how long, and how much of it."""

from gateway.identity import User
from gateway.remembered_users import RememberedUsers

ADA = User("ada", None, 100.0)
A, B, C = b"a", b"b", b"c"


def test_until_it_expires() -> None:
    users = RememberedUsers()
    users.keep(A, ADA, 10)
    assert users.get(A, 100.0) is ADA
    assert users.get(A, 130.0, leeway_s=30) is ADA
    assert users.get(A, 130.1, leeway_s=30) is None
    assert len(users) == 0
    assert users.get(A, 100.0) is None


def test_the_least_recently_used_goes_first() -> None:
    users = RememberedUsers(most=2)
    users.keep(A, ADA, 10)
    users.keep(B, ADA, 10)
    users.get(A, 0.0)
    users.keep(C, ADA, 10)
    assert [users.get(name, 0.0) is ADA for name in (A, B, C)] == [True, False, True]


def test_the_size_is_bounded_too() -> None:
    users = RememberedUsers(most_bytes=100)
    users.keep(A, ADA, 60)
    users.keep(A, ADA, 60)
    assert len(users) == 1, "kept anew, counted once"
    users.keep(B, ADA, 40)
    assert len(users) == 2
    users.keep(C, ADA, 1)
    assert users.get(A, 0.0) is None
    users.keep(A, ADA, 101)
    assert len(users) == 0, "what is larger than all the room is not kept"
    users.keep(A, ADA, 100)
    assert len(users) == 1, "and takes none of it"


def test_what_another_key_has_verified_can_be_forgotten() -> None:
    users = RememberedUsers()
    users.keep(A, ADA, 10, b"old")
    users.keep(B, ADA, 10, b"new")
    users.forget_all_but({b"new"})
    assert users.get(A, 0.0) is None
    assert users.get(B, 0.0) is ADA
