"""One SQLite file that several processes share: users, who is waiting, who is matched, and what they write.

Each process has one connection, in one thread of its own. Writers take turns by `BEGIN IMMEDIATE`,
so a transaction that has begun never finds out halfway that it must start again; readers wait for nobody.
"""

import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from examples.chat.threads import Threads

T = TypeVar("T")

BUSY_S = 5.0
"""How long a writer waits for its turn. A transaction here takes about a millisecond."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    uid           TEXT PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE,
    username      TEXT NOT NULL,
    password      TEXT NOT NULL,
    sex           TEXT NOT NULL,
    age           INTEGER NOT NULL,
    youngest      INTEGER NOT NULL,
    oldest        INTEGER NOT NULL,
    preferred_sex TEXT NOT NULL,
    avatar_code   INTEGER NOT NULL,
    created_at    REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS waiting (
    uid      TEXT PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    since    REAL NOT NULL,
    asked_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
-- A pair is two rows, (a, b) and (b, a), so the key holds that nobody has two partners.
CREATE TABLE IF NOT EXISTS matches (
    uid        TEXT PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    partner    TEXT NOT NULL UNIQUE REFERENCES users ON DELETE CASCADE,
    matched_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
-- The number of the last letter that somebody got; it never goes back, whatever becomes of the letters.
CREATE TABLE IF NOT EXISTS inboxes (
    uid  TEXT PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS letters (
    uid     TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    seq     INTEGER NOT NULL,
    sender  TEXT NOT NULL,
    id      TEXT NOT NULL,
    text    TEXT NOT NULL,
    kept_at REAL NOT NULL,
    PRIMARY KEY (uid, seq),
    UNIQUE (uid, sender, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parted (
    uid       TEXT NOT NULL,
    partner   TEXT NOT NULL,
    parted_at REAL NOT NULL,
    PRIMARY KEY (uid, partner)
) STRICT, WITHOUT ROWID;
"""


class Database:
    """Gives functions the connection, each in one transaction, off the event loop.

    `read` and `write` raise `sqlite3.Error`, and `Busy` when too many calls are waiting.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = Threads("sqlite", 1, 256)
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Creates what is missing. Raises `sqlite3.Error` when the file can't be used."""
        self._connection = await self._threads.run(partial(connect, self._path))

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, from one moment of the database."""
        return await self._threads.run(partial(_transact, self._opened, "BEGIN", work))

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns; all it wrote is kept, or nothing when it raises."""
        return await self._threads.run(partial(_transact, self._opened, "BEGIN IMMEDIATE", work))

    async def close(self) -> None:
        if self._connection is not None:
            await self._threads.run(self._connection.close)
        await self._threads.close()

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("the database is not open")
        return self._connection


def connect(path: Path) -> sqlite3.Connection:
    """A connection for one thread, with the tables there. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        _use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switching a new file over wants it alone, and doesn't wait by the busy timeout for that."""
    for attempt in range(50):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or attempt == 49:
                raise
            time.sleep(0.02)
        else:
            return


def _transact(connection: sqlite3.Connection, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute(begin)
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result
