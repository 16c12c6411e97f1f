import pytest

from examples.organisations import organisations
from examples.organisations.organisations import Denied, Organisation, Organisations, Role


def harbour() -> Organisations:
    """Ada's, with Bob as an admin and Cyd as a member."""
    all_of_them = Organisations()
    all_of_them.create("o1", "Harbour", "ada")
    for name, role in (("bob", Role.ADMIN), ("cyd", Role.MEMBER)):
        all_of_them.invite("ada", "o1", f"{name.upper()}@example.com", role, f"i-{name}")
        all_of_them.accept(name, f"{name}@example.com", f"i-{name}")
    return all_of_them


def found(value: Organisation | Denied) -> Organisation:
    assert isinstance(value, Organisation), value
    return value


def test_who_makes_one_owns_it_and_who_accepts_belongs_to_it() -> None:
    assert found(harbour().of("o1")).members == {"ada": Role.OWNER, "bob": Role.ADMIN, "cyd": Role.MEMBER}
    assert [one.name for one in harbour().with_member("cyd")] == ["Harbour"]
    assert harbour().with_member("dan") == []


@pytest.mark.parametrize(
    ("who", "id", "why"),
    [
        ("cyd", "o1", Denied.NOT_A_MANAGER),
        ("dan", "o1", Denied.NOT_A_MEMBER),
        ("ada", "o2", Denied.NO_ORGANISATION),
    ],
)
def test_only_managers_manage(who: str, id: str, why: Denied) -> None:
    all_of_them = harbour()
    assert all_of_them.invite(who, id, "dan@example.com", Role.MEMBER, "i") is why
    assert all_of_them.member_to_change(who, id, "bob") is why


@pytest.mark.parametrize("who", ["ada", "bob"])
def test_managers_manage_all_but_the_owner(who: str) -> None:
    all_of_them = harbour()
    assert found(all_of_them.member_to_change(who, "o1", "cyd")).id == "o1"
    assert all_of_them.member_to_change(who, "o1", "dan") is Denied.NO_SUCH_MEMBER
    assert all_of_them.member_to_change(who, "o1", "ada") is Denied.THE_OWNER_STAYS
    assert all_of_them.invite(who, "o1", "dan@example.com", Role.OWNER, "i") is Denied.THE_OWNER_STAYS


def test_an_invitation_is_for_its_address_and_good_once() -> None:
    all_of_them = harbour()
    all_of_them.invite("ada", "o1", "dan@example.com", Role.MEMBER, "i-dan")
    assert all_of_them.accept("eve", "eve@example.com", "i-dan") is Denied.NO_INVITATION
    assert found(all_of_them.accept("dan", "dan@example.com", "i-dan")).members["dan"] is Role.MEMBER
    assert all_of_them.accept("dan", "dan@example.com", "i-dan") is Denied.NO_INVITATION


def test_who_accepts_again_keeps_the_role_they_have() -> None:
    all_of_them = harbour()
    all_of_them.invite("bob", "o1", "ada@example.com", Role.MEMBER, "i")
    assert found(all_of_them.accept("ada", "ada@example.com", "i")).members["ada"] is Role.OWNER


def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    all_of_them = harbour()
    monkeypatch.setattr(organisations, "MOST", 1)
    assert all_of_them.create("o2", "Pier", "ada") is Denied.FULL
    all_of_them.invite("ada", "o1", "dan@example.com", Role.MEMBER, "i1")
    assert all_of_them.invite("ada", "o1", "eve@example.com", Role.MEMBER, "i2") is Denied.FULL
