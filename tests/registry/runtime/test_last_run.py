from pathlib import Path

from registry.merge import Known, merge, nothing_known
from registry.model import Gone, Instance, InstanceId, Seen, ServiceName, Source
from registry.runtime.last_run import LastRun, NamesThen
from registry.runtime.snapshot_file import SnapshotFile
from registry.snapshot_codec import Saved, SavedService

WEB, OTHER = ServiceName("web"), ServiceName("other")
UNIX = 1_800_000_000.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def instance(service: ServiceName) -> Instance:
    return Instance(InstanceId("a"), service, "127.0.0.1", 80, "127.0.0.1")


def answered(service: ServiceName, at: float) -> Known:
    return merge(nothing_known(service), Seen((instance(service),)), at)


def ids(known: Known | None) -> str | None:
    return None if known is None else "".join(i.id for i in known.snapshot.instances)


def a_file(path: Path, max_age_s: float = 600.0) -> SnapshotFile:
    return SnapshotFile(str(path), "here", max_age_s, unix_clock=lambda: UNIX)


async def a_run_later(path: Path, clock: Clock, without: frozenset[ServiceName] = frozenset()) -> LastRun:
    """Its file knows both services, as of 100 s ago."""
    services = {name: SavedService(UNIX - 100.0, (instance(name),)) for name in (WEB, OTHER)}
    await a_file(path).save(Saved(frozenset(services), UNIX - 50.0, services))
    return LastRun(a_file(path), without, clock)


async def test_what_was_read_is_taken_once(tmp_path: Path) -> None:
    clock = Clock()
    last_run = await a_run_later(tmp_path / "state", clock)
    assert not last_run.knows(WEB)
    assert await last_run.read() == NamesThen(frozenset({WEB, OTHER}), 950.0)
    assert last_run.knows(WEB)
    known = last_run.take(WEB)
    assert known is not None
    assert (ids(known), known.snapshot.answered_at, known.snapshot.source) == ("a", 900.0, Source.DISK)
    assert (last_run.knows(WEB), last_run.take(WEB)) == (False, None)


async def test_what_nobody_needed_in_time_is_too_old(tmp_path: Path) -> None:
    clock = Clock()
    last_run = await a_run_later(tmp_path / "state", clock)
    await last_run.read()
    clock.now += 500.0
    assert last_run.knows(WEB)
    clock.now += 1.0
    assert (last_run.knows(WEB), last_run.take(WEB)) == (False, None)


async def test_what_nobody_has_needed_yet_is_saved_again_as_old_as_it_is(tmp_path: Path) -> None:
    clock = Clock()
    last_run = await a_run_later(tmp_path / "state", clock)
    await last_run.read()
    last_run.take(WEB)
    saved = last_run.worth_saving({WEB: answered(WEB, clock.now)}, frozenset({WEB}), clock.now)
    assert saved is not None
    assert {name: service.answered_at for name, service in saved.services.items()} == {
        WEB: UNIX,
        OTHER: UNIX - 100.0,
    }


async def test_what_the_settings_know_better_is_neither_read_nor_saved(tmp_path: Path) -> None:
    clock = Clock()
    last_run = await a_run_later(tmp_path / "state", clock, frozenset({OTHER}))
    await last_run.read()
    assert (last_run.knows(WEB), last_run.knows(OTHER)) == (True, False)
    both = {name: answered(name, clock.now) for name in (WEB, OTHER)}
    saved = last_run.worth_saving(both, frozenset(both), clock.now)
    assert saved is not None
    assert set(saved.services) == {WEB}


async def test_what_the_settings_know_better_from_now_on_is_forgotten(tmp_path: Path) -> None:
    clock = Clock()
    last_run = await a_run_later(tmp_path / "state", clock)
    await last_run.read()
    last_run.leave_out({OTHER}, forget={OTHER})
    assert (last_run.knows(WEB), last_run.knows(OTHER)) == (True, False)
    saved = last_run.worth_saving({OTHER: answered(OTHER, clock.now)}, frozenset({WEB, OTHER}), clock.now)
    assert saved is not None
    assert set(saved.services) == {WEB}


async def test_without_a_file_nothing_is_known() -> None:
    last_run = LastRun(None, (), Clock())
    assert await last_run.read() is None
    last_run.changed()
    assert (last_run.knows(WEB), last_run.take(WEB)) == (False, None)


async def test_nothing_is_worth_saving_before_the_registry_has_answered(tmp_path: Path) -> None:
    last_run = LastRun(a_file(tmp_path / "state"), (), Clock())
    gone = merge(nothing_known(WEB), Gone(), 1.0)
    assert last_run.worth_saving({WEB: gone}, frozenset(), 1.0) is None
    assert last_run.worth_saving({WEB: answered(WEB, 1.0)}, frozenset(), None) is None
