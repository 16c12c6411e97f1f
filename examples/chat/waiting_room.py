"""Asking for a partner: one transaction on the shared database, so all instances agree.

Whoever asks is matched with the longest waiting person that fits, or waits. Both rows of a pair are
written together; the one who waited finds the match when asking the next time.
"""

import sqlite3
from dataclasses import dataclass

from examples.chat import users
from examples.chat.pairing import Person, choose_partner
from examples.chat.users import User


@dataclass(frozen=True, slots=True)
class RoomSettings:
    wait_s: float = 15.0
    """Who has not asked for so long has gone, and is no longer offered to others."""
    match_s: float = 24 * 3600.0
    """A match older than this is forgotten, and so is what was written."""
    avoid_s: float = 300.0
    """Two who parted are not matched with each other again for so long."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nobody fits yet."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """There is no such user."""


def ask(
    db: sqlite3.Connection, uid: str, *, again: bool, now: float, settings: RoomSettings
) -> User | Waiting | Unknown:
    """The partner of `uid`: the present one, or with `again` a new one."""
    me = users.by_uid(db, uid)
    if me is None:
        return Unknown()
    _forget_the_old(db, now, settings)
    partner = partner_of(db, uid)
    if partner is not None and again:
        _part(db, uid, partner, now)
        partner = None
    if partner is None:
        partner = _find(db, me, now)
    found = users.by_uid(db, partner) if partner is not None else None
    return found or Waiting()


def partner_of(db: sqlite3.Connection, uid: str) -> str | None:
    row = db.execute("SELECT partner FROM matches WHERE uid = ?", (uid,)).fetchone()
    return None if row is None else str(row["partner"])


def _find(db: sqlite3.Connection, me: User, now: float) -> str | None:
    parted = {row["partner"] for row in db.execute("SELECT partner FROM parted WHERE uid = ?", (me.uid,))}
    pool = db.execute("SELECT users.* FROM waiting JOIN users USING (uid) ORDER BY since, uid")
    people = (Person(row["uid"], users.profile_of(row)) for row in pool)
    partner = choose_partner(Person(me.uid, me.profile), people, parted)
    if partner is None:
        db.execute(
            "INSERT INTO waiting VALUES (?1, ?2, ?2) ON CONFLICT (uid) DO UPDATE SET asked_at = ?2",
            (me.uid, now),
        )
        return None
    db.execute("DELETE FROM waiting WHERE uid IN (?, ?)", (me.uid, partner.uid))
    pair = [(me.uid, partner.uid, now), (partner.uid, me.uid, now)]
    db.executemany("INSERT INTO matches VALUES (?, ?, ?)", pair)
    return partner.uid


def _part(db: sqlite3.Connection, uid: str, partner: str, now: float) -> None:
    db.execute("DELETE FROM matches WHERE uid IN (?, ?)", (uid, partner))
    # What they wrote is nobody's business any more, least of all the next partner's.
    db.execute("DELETE FROM letters WHERE uid IN (?, ?)", (uid, partner))
    pair = [(uid, partner, now), (partner, uid, now)]
    db.executemany("INSERT OR REPLACE INTO parted VALUES (?, ?, ?)", pair)


def _forget_the_old(db: sqlite3.Connection, now: float, settings: RoomSettings) -> None:
    db.execute("DELETE FROM waiting WHERE asked_at <= ?", (now - settings.wait_s,))
    db.execute("DELETE FROM matches WHERE matched_at <= ?", (now - settings.match_s,))
    db.execute("DELETE FROM letters WHERE kept_at <= ?", (now - settings.match_s,))
    db.execute("DELETE FROM parted WHERE parted_at <= ?", (now - settings.avoid_s,))
