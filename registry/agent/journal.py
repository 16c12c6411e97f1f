"""Registrations that survive the agent: one SQLite file, written by one thread of its own.

Why a thread: a commit waits for the file system, and a loop that waits for a disk answers nobody.
Why the caller still waits for the commit: whoever was told "registered" must be found again after
`kill -9`. Why WAL with `synchronous=NORMAL`: a commit is then one append without an fsync; it survives
the death of the process, and only a crash of the whole machine can take the last moments (after which
the services' own processes are gone, too).

How checks stand is not kept: after a restart nobody knows.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import orjson
import structlog

from registry.agent.definitions import CheckDefinition, ServiceDefinition
from registry.agent.records import Change, DropCheck, DropService, PutCheck, PutService
from registry.model import RegistryError

FILE = "agent.sqlite3"
SCHEMA_VERSION = 1
LOCK_WAIT_S = 2.0
"""A predecessor that is just stopping may still hold the file."""

UNWRITABLE = (TypeError, ValueError)
"""What orjson and SQLite raise for a definition they can't write: half a character, an odd number."""

_SCHEMA = f"""
CREATE TABLE service (id TEXT PRIMARY KEY, definition BLOB NOT NULL);
CREATE TABLE health_check (id TEXT PRIMARY KEY, definition BLOB NOT NULL);
CREATE TABLE life (number INTEGER NOT NULL);
INSERT INTO life VALUES (0);
PRAGMA user_version = {SCHEMA_VERSION};
"""

log = structlog.get_logger()


class JournalError(RegistryError):
    """The journal can't be opened or written."""

    reason = "journal"


@dataclass(frozen=True, slots=True)
class Saved:
    """What the journal held when it was opened."""

    life: int = 0
    """How often the journal had been opened before."""
    services: tuple[ServiceDefinition, ...] = ()
    checks: tuple[CheckDefinition, ...] = ()


class Journal:
    """Build it with `open`; close it with `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.saved = Saved()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="agent-journal")
        self._db: sqlite3.Connection | None = None

    @classmethod
    async def open(cls, folder: str) -> Self:
        """Opens or makes the journal in that folder. Raises `JournalError` that names the fix."""
        journal = cls(Path(folder) / FILE)
        try:
            await journal._run(journal._open)
        except BaseException as error:
            await journal.close()
            if isinstance(error, OSError | sqlite3.Error):
                raise JournalError(journal._explain(error)) from error
            raise
        return journal

    async def write(self, changes: Sequence[Change]) -> None:
        """Returns once the changes are committed, all or none. Raises `JournalError`.

        Calls are committed in the order they were made. A caller that is cancelled stops waiting, but
        its changes are written all the same: the catalogue has them already.
        """
        try:
            await asyncio.shield(self.submit(changes))
        except (OSError, sqlite3.Error, *UNWRITABLE) as error:
            raise JournalError(f"{self.path}: not written: {error}") from error

    def submit(self, changes: Sequence[Change]) -> "asyncio.Future[None]":
        """As `write`, for who can't wait: a failure is logged."""
        writing = self._run(self._write, changes)
        writing.add_done_callback(_report_failure)
        return writing

    async def close(self) -> None:
        """Waits for what is still to be written, then closes the file."""
        await self._run(self._close)
        self._thread.shutdown(wait=False)

    def _run(self, work: Any, *arguments: Any) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    # -- on the thread ------------------------------------------------------------------------

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.touch(mode=0o600)  # the headers of HTTP checks may hold credentials
        db = self._db = sqlite3.connect(self.path, timeout=LOCK_WAIT_S, isolation_level=None)
        db.execute("PRAGMA locking_mode = EXCLUSIVE")  # before WAL: then no other process can join
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA_VERSION):
            raise sqlite3.DatabaseError(f"written by another version of this program (schema {version})")
        db.execute("BEGIN IMMEDIATE")
        if version == 0:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                db.execute(statement)
        (life,) = db.execute("SELECT number FROM life").fetchone()
        self.saved = Saved(
            life=life,
            services=tuple(_read(db, "service", ServiceDefinition)),
            checks=tuple(_read(db, "health_check", CheckDefinition)),
        )
        db.execute("UPDATE life SET number = number + 1")
        db.execute("COMMIT")

    def _write(self, changes: Sequence[Change]) -> None:
        assert self._db is not None
        self._db.execute("BEGIN")
        try:
            for change in changes:
                self._db.execute(*_statement(change))
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite may have rolled back by itself, as with a full disk
                self._db.execute("ROLLBACK")
            raise

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _explain(self, error: Exception) -> str:
        if "locked" in str(error):
            return f"data_dir: {self.path} is in use by another agent: give each agent a data_dir of its own"
        return f"data_dir: {self.path} can't be opened: {error}; move it away or choose another data_dir"


def _statement(change: Change) -> tuple[str, tuple[Any, ...]]:
    match change:
        case PutService(service):
            return "INSERT OR REPLACE INTO service VALUES (?, ?)", (service.id, _pack(service))
        case PutCheck(check):
            return "INSERT OR REPLACE INTO health_check VALUES (?, ?)", (check.id, _pack(check))
        case DropService(id):
            return "DELETE FROM service WHERE id = ?", (id,)
        case DropCheck(id):
            return "DELETE FROM health_check WHERE id = ?", (id,)


def _pack(definition: ServiceDefinition | CheckDefinition) -> bytes:
    return orjson.dumps(asdict(definition))


def _read(db: sqlite3.Connection, table: str, kind: Any) -> list[Any]:
    """The rows in the order they were made. One that can't be read is left out alone, and stays."""
    found = []
    for id, packed in db.execute(f"SELECT id, definition FROM {table} ORDER BY rowid"):
        try:
            found.append(unpack(kind, packed))
        except (ValueError, TypeError) as error:
            log.warning("journal_row_unreadable", table=table, id=id, error=str(error))
    return found


def unpack(kind: Any, packed: bytes) -> Any:
    """A definition out of what `_pack` made; JSON's lists become the tuples they were."""
    value = orjson.loads(packed)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    known = {field.name for field in fields(kind)}
    return kind(**{name: _tuples(item) for name, item in value.items() if name in known})


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value


def _report_failure(writing: "asyncio.Future[None]") -> None:
    if not writing.cancelled() and (error := writing.exception()) is not None:
        log.error("journal_write_failed", error=str(error))
