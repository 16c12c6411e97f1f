import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.chat import users
from examples.chat.database import connect
from examples.chat.profile import SignUp, read_sign_up
from tests.examples.chat.clients import NOW, person


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = connect(tmp_path / "chat.db")
    yield connection
    connection.close()


def user(uid: str, email: str) -> users.User:
    who = read_sign_up(person(email))
    assert isinstance(who, SignUp)
    return users.new_user(uid, who, "a hash")


def test_a_user_comes_back_as_it_was_added(db: sqlite3.Connection) -> None:
    ann = user("00000065", "ann@example.com")
    assert users.add(db, ann, NOW)
    assert users.by_uid(db, ann.uid) == ann
    assert users.by_email(db, "ann@example.com") == ann
    assert ann.avatar_code == 1


def test_nobody_is_none(db: sqlite3.Connection) -> None:
    assert users.by_uid(db, "x") is None
    assert users.by_email(db, "x' OR '1'='1") is None


def test_an_email_belongs_to_one_user(db: sqlite3.Connection) -> None:
    assert users.add(db, user("00000001", "ann@example.com"), NOW)
    assert not users.add(db, user("00000002", "ann@example.com"), NOW)
    assert users.by_uid(db, "00000002") is None
