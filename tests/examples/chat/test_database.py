import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from examples.chat.database import Database, connect


def add(db: sqlite3.Connection, name: str) -> None:
    db.execute("INSERT INTO parted VALUES (?, 'x', 1.0)", (name,))


def count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM parted").fetchone()[0])


async def test_what_one_process_writes_the_other_reads(tmp_path: Path) -> None:
    one, other = Database(tmp_path / "chat.db"), Database(tmp_path / "chat.db")
    await one.open()
    await other.open()
    await one.write(lambda db: add(db, "a"))
    assert await other.read(count) == 1
    await one.close()
    await other.close()


async def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "chat.db")
    await database.open()

    def half(db: sqlite3.Connection) -> None:
        add(db, "a")
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(half)
    assert await database.read(count) == 0
    await database.write(lambda db: add(db, "a"))
    assert await database.read(count) == 1
    await database.close()


def test_many_processes_may_open_a_new_file_at_the_same_moment(tmp_path: Path) -> None:
    def open_and_write(number: int) -> None:
        connection = connect(tmp_path / "chat.db")
        add(connection, str(number))
        connection.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(open_and_write, range(16)))
    connection = connect(tmp_path / "chat.db")
    assert count(connection) == 16
    connection.close()


async def test_a_file_that_is_no_database_is_an_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "chat.db").write_bytes(b"this is not a database, " * 100)
    database = Database(tmp_path / "chat.db")
    with pytest.raises(sqlite3.DatabaseError):
        await database.open()
    await database.close()
