import asyncio
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from registry.model import Instance, InstanceId, ServiceName
from registry.runtime import snapshot_file as snapshot_file_module
from registry.runtime.snapshot_file import SnapshotFile
from registry.runtime.tasks import Tasks
from registry.snapshot_codec import Saved, SavedService
from tests.registry.waiting import until

WEB = ServiceName("web")
HERE = "consul http://127.0.0.1:8500"
NOW = 1_800_000_000.0


def saved(*names: str) -> Saved:
    instances = tuple(Instance(InstanceId(name), WEB, "h", 80, "10.0.0.1") for name in names)
    return Saved(frozenset({WEB}), NOW, {WEB: SavedService(NOW, instances)})


def at(path: Path, origin: str = HERE, now: float = NOW) -> SnapshotFile:
    return SnapshotFile(str(path), origin, unix_clock=lambda: now)


async def test_what_one_process_saved_the_next_one_reads(tmp_path: Path) -> None:
    path = tmp_path / "state"
    assert await at(path).load() is None
    first = at(path)
    await first.save(saved("a", "b"))
    assert await at(path).load() == saved("a", "b")
    assert (first.age_s(), first.failures) == (0.0, 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["state"]


@pytest.mark.parametrize(
    ("spoil", "origin", "now", "reason"),
    [
        (lambda raw: raw[:-1], HERE, NOW, "broken"),
        (lambda raw: raw, "consul http://10.0.0.1:8500", NOW, "other_registry"),
        (lambda raw: raw, HERE, NOW + 601, "too_old"),
    ],
    ids=["broken", "other registry", "too old"],
)
async def test_a_file_that_is_not_believed_is_one_warning(
    tmp_path: Path, spoil: Callable[[bytes], bytes], origin: str, now: float, reason: str
) -> None:
    path = tmp_path / "state"
    await at(path).save(saved("a"))
    path.write_bytes(spoil(path.read_bytes()))
    with structlog.testing.capture_logs() as logs:
        assert await at(path, origin, now).load() is None
    assert [(line["event"], line["reason"]) for line in logs] == [("snapshot_not_used", reason)]


async def test_what_can_not_be_read_is_a_warning_too(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        assert await at(tmp_path).load() is None
    assert [line["reason"] for line in logs] == ["unreadable"]


async def test_somebody_elses_file_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write to a directory like /tmp could name the instances that calls go to."""
    await at(tmp_path / "state").save(saved("a"))
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with structlog.testing.capture_logs() as logs:
        assert await at(tmp_path / "state").load() is None
    assert [(line["reason"], f"user {mine}," in line["detail"]) for line in logs] == [("unreadable", True)]


async def test_what_lies_in_the_way_is_not_written_to(tmp_path: Path) -> None:
    """A link that somebody put there, or what a killed process of the same number left."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"kept")
    (tmp_path / f"state.{os.getpid()}.tmp").symlink_to(precious)
    file = at(tmp_path / "state")
    await file.save(saved("a"))
    assert precious.read_bytes() == b"kept"
    assert (await at(tmp_path / "state").load(), file.failures) == (saved("a"), 0)


async def test_a_full_disk_leaves_the_old_file_and_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, file = tmp_path / "state", at(tmp_path / "state")
    await file.save(saved("a"))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, structlog.testing.capture_logs() as logs:
        patch.setattr(os, "fsync", full)
        await file.save(saved("b"))
        await file.save(saved("c"))
    assert [line["event"] for line in logs] == ["snapshot_not_written"]
    assert file.failures == 2
    assert await at(path).load() == saved("a")
    assert os.listdir(tmp_path) == ["state"]
    await file.save(saved("d"))
    assert await at(path).load() == saved("d")


async def test_changes_are_written_together_and_the_last_state_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_file_module, "EVERY_S", 0.01)
    file = at(tmp_path / "state")
    taken, state = 0, list[str]()

    def take() -> Saved | None:
        nonlocal taken
        taken += 1
        return saved(*state) if state else None

    tasks = Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}"))
    tasks.start("keep", file.keep(take))
    try:
        file.changed()
        await until(lambda: taken == 1)
        assert file.written_at is None, "there is nothing to write yet"
        for name in "abc":
            state.append(name)
            file.changed()
        await until(lambda: file.written_at is not None)
        assert await file.load() == saved(*"abc")
        assert taken == 2
    finally:
        await tasks.close()


async def test_it_is_written_again_when_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_file_module, "EVERY_S", 0.0)
    monkeypatch.setattr(snapshot_file_module, "REFRESH_S", 0.01)
    writes = asyncio.Semaphore(0)

    def take() -> Saved:
        writes.release()
        return saved("a")

    tasks = Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}"))
    tasks.start("keep", at(tmp_path / "state").keep(take))
    try:
        async with asyncio.timeout(10):
            for _ in range(3):
                await writes.acquire()
    finally:
        await tasks.close()
