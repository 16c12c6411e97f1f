"""Four people in a database, of whom two are matched."""

import sqlite3
from pathlib import Path

from examples.chat import users
from examples.chat.database import connect
from examples.chat.profile import Profile
from examples.chat.users import User
from examples.chat.waiting_room import RoomSettings, ask
from tests.examples.chat.clients import NOW

WOMAN = Profile("female", 25, (20, 40), "male")
MAN = Profile("male", 30, (20, 40), "female")
PEOPLE = {"ann": WOMAN, "bob": MAN, "eva": WOMAN, "tom": MAN}


def open_town(path: Path) -> sqlite3.Connection:
    """Four people, of whom ann and bob are matched."""
    db = connect(path)
    for uid, profile in PEOPLE.items():
        assert users.add(db, User(uid, f"{uid}@example.com", uid, "hash", 1, profile), NOW)
    match(db, "ann", "bob")
    return db


def match(db: sqlite3.Connection, *uids: str, again: bool = False, now: float = NOW) -> None:
    for uid in uids:
        ask(db, uid, again=again, now=now, settings=RoomSettings())
