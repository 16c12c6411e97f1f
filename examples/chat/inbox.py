"""What was written to somebody, numbered, on the shared database: so no handler's death loses a word.

Everybody has one row of numbers, 1, 2, 3 and on, whoever writes. Each function is one transaction.
"""

import sqlite3

from examples.chat import waiting_room
from examples.chat.frames import Letter, Missed

MOST_KEPT = 200
"""Messages of one recipient; the oldest go first. The page shows as many."""
PAGE = 16
"""Messages in one answer: under 256 kB, whatever stands in them."""


def keep(db: sqlite3.Connection, sender: str, to: str, id: str, text: str, now: float) -> int | None:
    """The number of a message, the same one when it is sent again; `None` unless the two are matched."""
    if waiting_room.partner_of(db, sender) != to:
        return None
    known = db.execute("SELECT seq FROM letters WHERE uid = ? AND sender = ? AND id = ?", (to, sender, id))
    if row := known.fetchone():
        return int(row["seq"])
    counted = db.execute(
        "INSERT INTO inboxes VALUES (?, 1) ON CONFLICT (uid) DO UPDATE SET last = last + 1 RETURNING last",
        (to,),
    )
    seq = int(counted.fetchone()["last"])
    db.execute("INSERT INTO letters VALUES (?, ?, ?, ?, ?, ?)", (to, seq, sender, id, text, now))
    db.execute("DELETE FROM letters WHERE uid = ? AND seq <= ?", (to, seq - MOST_KEPT))
    return seq


def after(db: sqlite3.Connection, uid: str, seq: int, most: int = PAGE) -> Missed:
    """What was written to `uid` after that number."""
    found = db.execute(
        "SELECT seq, sender, id, text FROM letters WHERE uid = ? AND seq > ? ORDER BY seq LIMIT ?",
        (uid, seq, most + 1),
    ).fetchall()
    letters = tuple(Letter(row["seq"], row["sender"], row["id"], row["text"]) for row in found[:most])
    if len(found) > most:
        return Missed(letters, letters[-1].seq, more=True)
    row = db.execute("SELECT last FROM inboxes WHERE uid = ?", (uid,)).fetchone()
    return Missed(letters, 0 if row is None else int(row["last"]))
