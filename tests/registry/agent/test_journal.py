import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.agent.definitions import CheckDefinition, ServiceDefinition
from registry.agent.journal import FILE, Journal, JournalError, _pack, unpack
from registry.agent.records import Change, DropCheck, DropService, PutCheck, PutService

WEB = ServiceDefinition("web-1", "web", 80, tags=("a",), meta={"k": "v"}, tagged_addresses={"lan": ("x", 1)})
CHECK = CheckDefinition(
    "c", "c", "http", "web-1", target="http://x", interval_s=1.0, headers={"X": ("1", "2")}, status="passing"
)


async def test_what_was_written_is_there_in_the_next_life(tmp_path: Path) -> None:
    journal = await Journal.open(str(tmp_path / "new" / "folder"))
    assert (journal.saved.life, journal.saved.services) == (0, ())
    await journal.write([PutService(WEB), PutCheck(CHECK)])
    await journal.write(
        [PutService(ServiceDefinition("web-2", "web")), PutCheck(CheckDefinition("d", "d", "ttl"))]
    )
    await journal.write([DropService("web-2"), DropCheck("d")])
    await journal.close()
    journal = await Journal.open(str(tmp_path / "new" / "folder"))
    await journal.close()
    assert (journal.saved.life, journal.saved.services, journal.saved.checks) == (1, (WEB,), (CHECK,))


async def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    journal = await Journal.open(str(tmp_path / "data"))
    await journal.write([PutService(WEB)])
    modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "data").iterdir()}
    await journal.close()
    assert modes == {0}


async def test_a_write_is_all_or_nothing(tmp_path: Path) -> None:
    journal = await Journal.open(str(tmp_path))
    broken = PutService(ServiceDefinition("web-2", "web", meta={"k": object()}))  # type: ignore[dict-item] # to break it
    with pytest.raises(JournalError, match="not written: "):
        await journal.write([PutService(WEB), broken])
    await journal.write([PutCheck(CHECK)])
    await journal.close()
    journal = await Journal.open(str(tmp_path))
    await journal.close()
    assert (journal.saved.services, journal.saved.checks) == ((), (CHECK,))


@pytest.mark.parametrize(
    "odd",
    [
        PutService(ServiceDefinition("web-2", "web", tags=("\ud800",))),
        PutService(ServiceDefinition("\ud800", "web")),
        PutService(ServiceDefinition("web-2", "web", port=2**70)),
        DropCheck("\ud800"),
    ],
    ids=["text", "id", "number", "dropped id"],
)
async def test_what_it_cannot_write_is_said_as_its_own_error(tmp_path: Path, odd: Change) -> None:
    journal = await Journal.open(str(tmp_path))
    with pytest.raises(JournalError, match="not written: "):
        await journal.write([odd])
    await journal.write([PutService(WEB)])
    await journal.close()
    journal = await Journal.open(str(tmp_path))
    await journal.close()
    assert journal.saved.services == (WEB,)


async def test_the_loop_runs_while_the_disk_is_slow(tmp_path: Path) -> None:
    journal = await Journal.open(str(tmp_path))
    disk_is_ready = threading.Event()
    journal._thread.submit(disk_is_ready.wait, 10)
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(journal.write([PutService(WEB)]))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not writing.done()
        disk_is_ready.set()
    await journal.close()


async def test_a_caller_that_leaves_does_not_take_its_change_with_it(tmp_path: Path) -> None:
    journal = await Journal.open(str(tmp_path))
    disk_is_ready = threading.Event()
    journal._thread.submit(disk_is_ready.wait, 10)
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(journal.write([PutService(WEB)]))
        await asyncio.sleep(0)
        writing.cancel()
    disk_is_ready.set()
    await journal.close()
    journal = await Journal.open(str(tmp_path))
    await journal.close()
    assert journal.saved.services == (WEB,)


async def test_two_agents_cannot_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.agent.journal.LOCK_WAIT_S", 0.01)
    journal = await Journal.open(str(tmp_path))
    with pytest.raises(JournalError, match="in use by another agent: give each agent a data_dir of its own"):
        await Journal.open(str(tmp_path))
    await journal.close()


async def test_a_file_that_is_no_journal_is_named_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database, but long enough to be taken for one" * 100)
    with pytest.raises(JournalError, match=f"{FILE} can't be opened: .*move it away"):
        await Journal.open(str(tmp_path))
    assert (tmp_path / FILE).read_bytes().startswith(b"no database")


async def test_a_journal_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / FILE)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(JournalError, match="another version of this program"):
        await Journal.open(str(tmp_path))


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"data_dir: .*file"):
        await Journal.open(str(tmp_path / "file"))


async def test_one_unreadable_row_costs_only_itself(tmp_path: Path) -> None:
    journal = await Journal.open(str(tmp_path))
    await journal.write([PutService(WEB)])
    await journal.close()
    db = sqlite3.connect(tmp_path / FILE)
    db.execute("INSERT INTO service VALUES ('odd', 'not json'), ('odder', '{\"id\": 1}'), ('oddest', '[]')")
    db.commit()
    db.close()
    journal = await Journal.open(str(tmp_path))
    await journal.close()
    assert journal.saved.services == (WEB,)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    st.builds(
        ServiceDefinition,
        id=text,
        name=text,
        port=st.integers(-(2**31), 2**31),
        tags=st.lists(text, max_size=3).map(tuple),
        meta=st.dictionaries(text, text, max_size=3),
        tagged_addresses=st.dictionaries(text, st.tuples(text, st.integers(0, 65535)), max_size=2),
    )
)
def test_any_service_comes_back_as_it_was(service: ServiceDefinition) -> None:
    assert unpack(ServiceDefinition, _pack(service)) == service


@given(
    st.builds(
        CheckDefinition,
        id=text,
        name=text,
        kind=st.sampled_from(["ttl", "http", "tcp", "maintenance"]),
        ttl_s=st.floats(0, 1e9),
        headers=st.dictionaries(text, st.lists(text, max_size=2).map(tuple), max_size=2),
    )
)
def test_any_check_comes_back_as_it_was(check: CheckDefinition) -> None:
    assert unpack(CheckDefinition, _pack(check)) == check
