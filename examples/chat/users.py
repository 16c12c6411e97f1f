"""The users' table. Each function runs inside a transaction of `Database`."""

import sqlite3
from dataclasses import dataclass

from examples.chat.profile import Profile, SignUp


@dataclass(frozen=True, slots=True)
class User:
    uid: str
    email: str
    username: str
    password: str
    """The hash."""
    avatar_code: int
    profile: Profile


def add(db: sqlite3.Connection, user: User, now: float) -> bool:
    """False when the email is taken, perhaps a moment ago by another process."""
    p = user.profile
    row = (user.uid, user.email, user.username, user.password, p.sex, p.age, *p.preferred_ages)
    added = db.execute(
        "INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (email) DO NOTHING",
        (*row, p.preferred_sex, user.avatar_code, now),
    )
    return added.rowcount == 1


def by_email(db: sqlite3.Connection, email: str) -> User | None:
    return _user(db.execute("SELECT * FROM users WHERE email = ?", (email,)).fetchone())


def by_uid(db: sqlite3.Connection, uid: str) -> User | None:
    return _user(db.execute("SELECT * FROM users WHERE uid = ?", (uid,)).fetchone())


def new_user(uid: str, who: SignUp, password_hash: str) -> User:
    """The avatar is a number from 0 to 99 that stays with the uid."""
    return User(uid, who.email, who.username, password_hash, int(uid[:8], 16) % 100, who.profile)


def profile_of(row: sqlite3.Row) -> Profile:
    return Profile(row["sex"], row["age"], (row["youngest"], row["oldest"]), row["preferred_sex"])


def _user(row: sqlite3.Row | None) -> User | None:
    if row is None:
        return None
    return User(
        row["uid"], row["email"], row["username"], row["password"], row["avatar_code"], profile_of(row)
    )
