import asyncio
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from registry.backends import load_backend
from registry.backends.base import BackendSettings, Registration
from registry.health_checks import HealthCheckPolicy
from registry.model import (
    Failed,
    Gone,
    Health,
    Instance,
    InstanceId,
    Quarantined,
    Seen,
    ServiceName,
    ServiceSnapshot,
    Source,
    Status,
    Verdict,
)
from registry.runtime import snapshot_file as snapshot_file_module
from registry.runtime import watcher as watcher_module
from registry.runtime.registered import Registered
from registry.runtime.snapshot_file import SnapshotFile
from registry.runtime.watcher import Watcher
from registry.snapshot_codec import Saved, SavedService
from tests.registry.told_watch import ToldWatch
from tests.registry.waiting import until
from tests.servers import consul_agent, free_ports

WEB = ServiceName("web")
OTHER = ServiceName("other")
DOWN = Failed("unreachable", "nobody answers")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def told() -> ToldWatch:
    return ToldWatch()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def watching(told: ToldWatch, clock: Clock, **more: Any) -> Watcher:
    return Watcher(told, clock=clock, rng=Random(7), tend_every_s=0.01, **more)


def instance(name: str, port: int = 80, health: Health = Health.PASSING) -> Instance:
    return Instance(InstanceId(name), WEB, "127.0.0.1", port, "127.0.0.1", health=health)


def seen(*names: str) -> Seen:
    return Seen(tuple(map(instance, names)))


def ids(snapshot: ServiceSnapshot) -> str:
    return "".join(i.id for i in snapshot.usable)


# Readiness and reading.


async def test_it_is_ready_when_the_names_and_every_pinned_service_have_been_answered(
    told: ToldWatch, clock: Clock
) -> None:
    watcher = watching(told, clock)
    watcher.pin(WEB)
    async with watcher:
        watcher.pin(OTHER)
        assert not watcher.ready
        told.fail_names(DOWN)
        told.say(WEB, DOWN)
        await until(lambda: watcher.current(WEB).failure is not None)
        assert not watcher.ready
        told.name()
        told.say(WEB, seen("a"))
        await until(lambda: ids(watcher.current(WEB)) == "a")
        assert not watcher.ready
        told.say(OTHER, Gone())
        await until(lambda: watcher.ready)


async def test_reading_starts_no_watch_and_says_what_is_known(told: ToldWatch, clock: Clock) -> None:
    async with watching(told, clock) as watcher:
        assert watcher.current(WEB).status is Status.UNREACHABLE
        told.name("web")
        await until(lambda: watcher.current(OTHER).status is Status.UNKNOWN)
        assert watcher.current(OTHER).answered_at == clock.now
        assert watcher.current(WEB).status is Status.UNREACHABLE, "it exists, and was never asked for"
        told.fail_names(DOWN)
        await until(lambda: watcher.current(OTHER).failure == "unreachable")
        assert watcher.current(OTHER).status is Status.UNKNOWN
        assert watcher.snapshots() == {}
    assert told.opened == {"names": 1}


def test_what_can_be_no_name_can_not_be_pinned(told: ToldWatch, clock: Clock) -> None:
    with pytest.raises(ValueError, match="no service name"):
        watching(told, clock).pin(ServiceName("../kv"))


# Asking.


async def test_an_unknown_name_costs_the_registry_nothing(told: ToldWatch, clock: Clock) -> None:
    async with watching(told, clock) as watcher:
        told.name("web")
        for number in range(100):
            snapshot = await watcher.ask(ServiceName(f"guess-{number}"), patience_s=5.0)
            assert snapshot.status is Status.UNKNOWN
    assert told.opened == {"names": 1}


async def test_the_first_ask_starts_a_watch_and_waits_for_its_answer(told: ToldWatch, clock: Clock) -> None:
    async with watching(told, clock) as watcher:
        told.name("web")
        told.say(WEB, seen("a"))
        answers = await asyncio.gather(*(watcher.ask(WEB, patience_s=5.0) for _ in range(10)))
        assert [ids(snapshot) for snapshot in answers] == ["a"] * 10
        assert await watcher.ask(WEB, patience_s=0.0) is watcher.current(WEB)
    assert told.opened[WEB] == 1


async def test_patience_is_bounded(told: ToldWatch, clock: Clock) -> None:
    async with watching(told, clock) as watcher:
        assert (await watcher.ask(WEB, patience_s=0.02)).status is Status.UNREACHABLE
        told.name("web")
        assert (await watcher.ask(WEB, patience_s=0.02)).status is Status.UNREACHABLE
        told.say(WEB, seen("a"))
        assert ids(await watcher.ask(WEB, patience_s=5.0)) == "a"


async def test_while_the_registry_is_down_nobody_waits(told: ToldWatch, clock: Clock) -> None:
    async with watching(told, clock) as watcher:
        told.fail_names(DOWN)
        started = time.monotonic()
        snapshot = await watcher.ask(WEB, patience_s=30.0)
        assert (snapshot.status, snapshot.failure) == (Status.UNREACHABLE, "unreachable")
        told.name("web")
        await until(lambda: watcher.current(OTHER).status is Status.UNKNOWN)
        told.say(WEB, DOWN)
        assert (await watcher.ask(WEB, patience_s=30.0)).failure == "unreachable"
        assert time.monotonic() - started < 10.0


# Listening.


async def test_listeners_hear_the_present_and_then_every_change_and_no_repetition(
    told: ToldWatch, clock: Clock
) -> None:
    heard: list[ServiceSnapshot] = []
    async with watching(told, clock) as watcher:
        watcher.subscribe(WEB, heard.append)
        watcher.pin(WEB)
        told.say(WEB, seen("a"), seen("a"), seen("a", "b"), seen("b", "a"))
        told.say(WEB, seen("a"), DOWN, DOWN, seen("a"))
        await until(lambda: watcher.current(WEB).version == 5)
        assert heard[-1] is watcher.current(WEB)
    assert [(ids(s), s.failure) for s in heard] == [
        ("", None), ("a", None), ("ab", None), ("a", None), ("a", "unreachable"), ("a", None),
    ]  # fmt: skip
    assert [s.version for s in heard] == [0, 1, 2, 3, 4, 5]


async def test_a_listener_that_fails_does_not_keep_the_news_from_the_others(
    told: ToldWatch, clock: Clock
) -> None:
    heard: list[str] = []

    def fails(snapshot: ServiceSnapshot) -> None:
        if snapshot.instances:
            raise ZeroDivisionError

    async with watching(told, clock) as watcher:
        watcher.pin(WEB)
        watcher.subscribe(WEB, fails)
        watcher.subscribe(WEB, lambda snapshot: heard.append(ids(snapshot)))
        told.say(WEB, seen("a"))
        await until(lambda: heard == ["", "a"])


# Watches break, and are not needed any more.


async def test_a_silent_or_dying_watch_is_opened_anew_and_nothing_is_lost(
    told: ToldWatch, clock: Clock
) -> None:
    async with watching(told, clock, silent_after_s=0.2) as watcher:
        watcher.pin(WEB)
        told.say(WEB, seen("a", "b", "c"))
        await until(lambda: watcher.current(WEB).failure == "silent")
        assert ids(watcher.current(WEB)) == "abc"
        told.say(WEB, ZeroDivisionError())
        await until(lambda: watcher.current(WEB).failure == "bad_answer")
        told.fail_names(ZeroDivisionError())
        told.say(WEB, seen("a", "b", "c", "d"))
        await until(lambda: ids(watcher.current(WEB)) == "abcd")
        await until(lambda: told.opened["names"] > 1)
        stats = watcher.stats()
        assert stats.restarts >= 3
        assert stats.failures["silent"] >= 1
        assert stats.failures["bad_answer"] >= 2


async def test_a_watch_that_nobody_needs_is_dropped(told: ToldWatch, clock: Clock) -> None:
    pinned, followed, asked = map(ServiceName, ("pinned", "followed", "asked"))
    async with watching(told, clock, idle_s=600.0) as watcher:
        watcher.pin(pinned)
        watcher.subscribe(followed, lambda snapshot: None)
        told.name("pinned", "followed", "asked", "web")
        for service in (pinned, followed, asked, WEB):
            told.say(service, seen("a"))
            await watcher.ask(service, patience_s=5.0)
        clock.now += 400
        await watcher.ask(asked)
        watcher.current(WEB)
        clock.now += 400
        await until(lambda: WEB not in watcher.snapshots())
        assert set(watcher.snapshots()) == {pinned, followed, asked}
        await until(lambda: told.open[WEB] == 0)
        told.say(WEB, seen("b"))
        assert ids(await watcher.ask(WEB, patience_s=5.0)) == "b"


async def test_the_number_of_watches_is_bounded(
    told: ToldWatch, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher_module, "MAX_UNPINNED", 2)
    async with watching(told, clock) as watcher:
        watcher.pin(WEB)
        told.name("web", *"abcd")
        for name in "abcd":
            clock.now += 1
            told.say(name, seen("i"))
            await watcher.ask(ServiceName(name), patience_s=5.0)
        assert set(watcher.snapshots()) == {"web", "c", "d"}


# Distrust.


@contextmanager
def listening(name: str) -> Iterator[tuple[Instance, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield instance(name, server.getsockname()[1]), server


async def test_suspects_are_used_while_they_accept_connections_and_not_longer_than_suspect_s(
    told: ToldWatch, clock: Clock
) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(listening(name)) for name in "abc"]
        async with watching(told, clock, suspect_s=10.0) as watcher:
            watcher.pin(WEB)
            told.say(WEB, Seen(tuple(one for one, _ in servers)), Gone())
            await until(lambda: sum(i.suspect for i in watcher.current(WEB).instances) == 3)
            assert ids(watcher.current(WEB)) == "abc"
            servers[1][1].close()
            await until(lambda: ids(watcher.current(WEB)) == "ac")
            clock.now += 9.9
            told.say(WEB, Gone())
            await until(lambda: watcher.current(WEB).answered_at == clock.now)
            assert ids(watcher.current(WEB)) == "ac"
            clock.now += 0.2
            await until(lambda: ids(watcher.current(WEB)) == "")
            assert watcher.current(WEB).status is Status.KNOWN


async def test_looking_after_suspects_survives_its_own_death(told: ToldWatch, clock: Clock) -> None:
    broken, deaths = False, 0

    def fragile() -> float:
        nonlocal deaths
        if broken:
            deaths += 1
            raise ZeroDivisionError
        return clock.now

    with ExitStack() as stack:
        servers = [stack.enter_context(listening(name))[0] for name in "abc"]
        async with Watcher(told, clock=fragile, tend_every_s=0.01) as watcher:
            watcher.pin(WEB)
            told.say(WEB, Seen(tuple(servers)), Gone())
            await until(lambda: [i.suspect for i in watcher.current(WEB).instances] == [True] * 3)
            broken = True
            await until(lambda: deaths >= 2)
            broken = False
            clock.now += 11
            await until(lambda: ids(watcher.current(WEB)) == "")


async def test_no_moment_without_instances_while_a_real_agent_restarts_empty() -> None:
    with consul_agent() as agent, ExitStack() as listeners:
        ports = [listeners.enter_context(listening(name))[0].port for name in "abc"]
        async with AsyncExitStack() as stack:
            backend = await stack.enter_async_context(load_backend("consul")(BackendSettings(agent.address)))
            assert backend.registrar is not None
            for port in ports:
                registration = Registration(
                    InstanceId(f"web-{port}"), WEB, port, address="127.0.0.1", ttl_s=3.0
                )
                await stack.enter_async_context(Registered(backend.registrar, registration))
            watcher = Watcher(backend.watch)
            watcher.pin(WEB)
            await stack.enter_async_context(watcher)
            await until(lambda: len(watcher.current(WEB).usable) == 3)
            history: list[ServiceSnapshot] = []
            watcher.subscribe(WEB, history.append)
            await asyncio.to_thread(agent.stop)
            await until(lambda: watcher.current(WEB).failure == "unreachable")
            await asyncio.to_thread(agent.start)
            await until(lambda: any(i.suspect for s in history for i in s.instances), within_s=20.0)
            await until(
                lambda: (
                    watcher.current(WEB).failure is None
                    and [i.suspect for i in watcher.current(WEB).instances] == [False] * 3
                ),
                within_s=20.0,
            )
    assert {len(snapshot.usable) for snapshot in history} == {3}


# Our own checks.


ASKING = HealthCheckPolicy(kind="tcp", interval_s=0.02, down=2, up=2)


async def test_instances_that_fail_our_checks_are_not_used_until_they_answer_again(told: ToldWatch) -> None:
    with ExitStack() as stack:
        (a, _), (b, b_server) = [stack.enter_context(listening(name)) for name in "ab"]
        async with Watcher(told, checks={WEB: ASKING}) as watcher:
            watcher.pin(WEB)
            told.say(WEB, Seen((a, b)))
            await until(lambda: [i.verdict.value for i in watcher.current(WEB).instances] == ["up", "up"])
            b_server.close()
            await until(lambda: ids(watcher.current(WEB)) == "a")
            (web,) = watcher.stats().services
            assert (web.verdicts[Verdict.UP], web.verdicts[Verdict.DOWN]) == (1, 1)
            assert web.checks_failed["unreachable"] >= 2
            stack.enter_context(socket.create_server(("127.0.0.1", b.port)))
            await until(lambda: ids(watcher.current(WEB)) == "ab")


async def test_what_the_registry_dropped_is_kept_while_it_answers_and_gone_when_it_does_not(
    told: ToldWatch,
) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(listening(name)) for name in "abc"]
        async with Watcher(told, checks={WEB: ASKING}, suspect_s=0.05, tend_every_s=0.01) as watcher:
            watcher.pin(WEB)
            told.say(WEB, Seen(tuple(one for one, _ in servers)))
            await until(lambda: {i.verdict for i in watcher.current(WEB).instances} == {Verdict.UP})
            told.say(WEB, Gone())
            await until(lambda: all(i.suspect for i in watcher.current(WEB).instances))
            long_over = time.monotonic() + 0.2
            await until(lambda: time.monotonic() > long_over)
            assert ids(watcher.current(WEB)) == "abc"
            servers[0][1].close()
            await until(lambda: ids(watcher.current(WEB)) == "bc")
            watcher.follow_checks({})
            await until(lambda: ids(watcher.current(WEB)) == "")


async def test_one_that_is_vouched_for_beyond_its_deadline_is_not_looked_at_without_a_pause(
    told: ToldWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def counts(suspects: Iterable[Instance]) -> list[Instance]:
        nonlocal looks
        looks += len(list(suspects)) > 0
        return []

    monkeypatch.setattr(watcher_module, "refusing", counts)
    with ExitStack() as stack:
        servers = [stack.enter_context(listening(name))[0] for name in "abc"]
        async with Watcher(told, checks={WEB: ASKING}, suspect_s=0.02, tend_every_s=0.2) as watcher:
            watcher.pin(WEB)
            told.say(WEB, Seen(tuple(servers)))
            await until(lambda: {i.verdict for i in watcher.current(WEB).instances} == {Verdict.UP})
            told.say(WEB, Gone())
            await until(lambda: looks >= 4)
            before, asked = looks, watcher.stats()
            for _ in range(1000):
                await asyncio.sleep(0)
            assert looks <= before + 2, "a thousand turns of the loop, and hardly a look"
            assert asked.services[0].suspects == 3


async def test_checks_come_and_go_while_it_runs(told: ToldWatch) -> None:
    nobody = instance("a", free_ports(1)[0])
    async with Watcher(told) as watcher:
        watcher.pin(WEB)
        told.say(WEB, Seen((nobody,)))
        await until(lambda: ids(watcher.current(WEB)) == "a")
        watcher.follow_checks({WEB: ASKING, OTHER: ASKING})
        await until(lambda: ids(watcher.current(WEB)) == "")
        watcher.follow_checks({})
        assert [i.verdict for i in watcher.current(WEB).instances] == [Verdict.UNCHECKED]


async def test_a_watch_that_is_dropped_takes_its_checks_along(told: ToldWatch) -> None:
    asked: Counter[str] = Counter()

    async def counting(name: str) -> asyncio.Server:
        def count(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked[name] += 1
            writer.close()

        return await asyncio.start_server(count, "127.0.0.1", 0)

    checks = {WEB: ASKING, OTHER: ASKING}
    async with (
        await counting("a") as a,
        await counting("b") as b,
        Watcher(told, checks=checks, idle_s=0.2, tend_every_s=0.01) as watcher,
    ):
        watcher.pin(OTHER)
        told.name("web", "other")
        told.say(WEB, Seen((instance("a", a.sockets[0].getsockname()[1]),)))
        other = instance("b", b.sockets[0].getsockname()[1])
        told.say(OTHER, Seen((replace(other, service=OTHER),)))
        await watcher.ask(WEB, patience_s=5.0)
        await until(lambda: asked["a"] > 0)
        await until(lambda: WEB not in watcher.snapshots())
        before = Counter(asked)
        await until(lambda: asked["b"] > before["b"] + 10)
        assert asked["a"] <= before["a"] + 1, "one may have been on its way"


# Waiting for a change.


async def test_who_waits_for_a_change_gets_it_or_what_there_is(told: ToldWatch, clock: Clock) -> None:
    async with watching(told, clock) as watcher:
        told.name("web")
        told.say(WEB, seen("a"))
        first = await watcher.changed(WEB, 0, patience_s=5.0)
        assert (ids(first), first.version) == ("a", 1)
        assert await watcher.changed(WEB, 0, patience_s=5.0) is first
        assert await watcher.changed(WEB, 1, patience_s=0.01) is first
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(watcher.changed(WEB, 1, patience_s=5.0)) for _ in range(3)]
            await asyncio.sleep(0)
            told.say(WEB, seen("a"), seen("a", "b"))
        assert [ids(each.result()) for each in waiting] == ["ab"] * 3
        assert (await watcher.changed(OTHER, 0, patience_s=5.0)).status is Status.UNKNOWN


async def test_the_end_ends_all_waiting(told: ToldWatch, clock: Clock) -> None:
    async with asyncio.TaskGroup() as group:
        async with watching(told, clock) as watcher:
            told.name("web")
            told.say(WEB, seen("a"))
            await watcher.changed(WEB, 0, patience_s=5.0)
            waiting = group.create_task(watcher.changed(WEB, 1, patience_s=60.0))
            await asyncio.sleep(0)
        assert ids(await asyncio.wait_for(waiting, 5.0)) == "a"


# A start while the registry is down.


def saved_at(path: Path, *, unix: float = 1_800_000_000.0) -> SnapshotFile:
    return SnapshotFile(str(path), "consul 127.0.0.1:8500", unix_clock=lambda: unix)


async def test_a_start_while_the_registry_is_down_serves_what_the_last_run_knew(
    told: ToldWatch, clock: Clock, tmp_path: Path
) -> None:
    file = saved_at(tmp_path / "state")
    async with watching(told, clock, snapshot_file=file) as watcher:
        watcher.pin(WEB)
        told.name("web", "other")
        told.say(WEB, seen("a", "b", "c"))
        told.say(OTHER, Seen((replace(instance("o"), service=OTHER),)))
        await watcher.ask(OTHER, patience_s=5.0)
        await until(lambda: file.written_at is not None and watcher.ready)
        assert watcher.stats().saved_age_s == 0.0
        clock.now += 30.0
        told.say(WEB, seen("a", "b"))
        await until(lambda: ids(watcher.current(WEB)) == "ab")
        await until(lambda: b'"c"' not in (tmp_path / "state").read_bytes())

    later = Clock()
    later.now = 5.0
    told = ToldWatch()
    told.say(WEB, DOWN)
    told.say(OTHER, DOWN)
    second = watching(told, later, snapshot_file=saved_at(tmp_path / "state", unix=1_800_000_100.0))
    second.pin(WEB)
    async with second as watcher:
        assert watcher.ready
        web = watcher.current(WEB)
        assert (ids(web), web.source, web.age_s(later.now)) == ("ab", Source.DISK, 100.0)
        await until(lambda: watcher.current(WEB).failure == "unreachable")
        assert ids(watcher.current(WEB)) == "ab"
        assert ids(await watcher.ask(OTHER, patience_s=5.0)) == "o", "and nothing is heard of names"
        told.name("web")
        told.say(WEB, seen("a", "b", "d"))
        await until(lambda: watcher.current(WEB).source is Source.REGISTRY)
        assert ids(watcher.current(WEB)) == "abd"
        assert watcher.current(WEB).age_s(later.now) == 0.0


async def test_what_the_file_knew_is_forgotten_when_it_is_too_old_and_nobody_needed_it(
    told: ToldWatch, clock: Clock, tmp_path: Path
) -> None:
    file = saved_at(tmp_path / "state")
    both = {name: SavedService(1.8e9, (replace(instance("o"), service=name),)) for name in (WEB, OTHER)}
    await file.save(Saved(frozenset(both), 1.8e9, both))
    async with watching(told, clock, snapshot_file=file) as watcher:
        told.name()
        clock.now += file.max_age_s - 1.0
        assert (await watcher.ask(WEB, patience_s=0.0)).source is Source.DISK
        clock.now += 2.0
        assert (await watcher.ask(OTHER)).status is Status.UNKNOWN
        watcher.pin(OTHER)
        assert watcher.current(OTHER).status is Status.UNREACHABLE


async def test_saving_survives_its_own_death(
    told: ToldWatch, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_file_module, "EVERY_S", 0.0)
    broken, deaths = True, 0

    def fragile() -> float:
        nonlocal deaths
        if broken:
            deaths += 1
            raise ZeroDivisionError
        return 1.8e9

    file = SnapshotFile(str(tmp_path / "state"), "here", unix_clock=fragile)
    async with watching(told, clock, snapshot_file=file) as watcher:
        watcher.pin(WEB)
        told.name("web")
        told.say(WEB, seen("a"))
        await until(lambda: deaths >= 1)
        broken = False
        told.say(WEB, seen("a", "b"))
        await until(lambda: file.written_at is not None)


async def test_a_service_that_the_file_does_not_know_keeps_it_from_being_ready(
    told: ToldWatch, clock: Clock, tmp_path: Path
) -> None:
    file = saved_at(tmp_path / "state")
    await file.save(Saved(frozenset({WEB}), 1.8e9, {WEB: SavedService(1.8e9, seen("a").instances)}))
    watcher = watching(told, clock, snapshot_file=file)
    watcher.pin(WEB)
    watcher.pin(OTHER)
    async with watcher:
        assert ids(watcher.current(WEB)) == "a"
        assert not watcher.ready


async def test_what_the_settings_know_better_is_neither_saved_nor_read(
    told: ToldWatch, clock: Clock, tmp_path: Path
) -> None:
    file = saved_at(tmp_path / "state")
    both = {
        WEB: SavedService(1.8e9, seen("a").instances),
        OTHER: SavedService(1.8e9, (replace(instance("o"), service=OTHER),)),
    }
    await file.save(Saved(frozenset(both), 1.8e9, both))
    watcher = watching(told, clock, snapshot_file=file, unsaved=[OTHER])
    watcher.pin(WEB)
    watcher.pin(OTHER)
    async with watcher:
        assert (ids(watcher.current(WEB)), ids(watcher.current(OTHER))) == ("a", "")
        told.name("web", "other")
        told.say(OTHER, Seen(both[OTHER].instances))
        told.say(WEB, seen("a", "b"))
        await until(lambda: b'"b"' in (tmp_path / "state").read_bytes())
        assert ids(watcher.current(OTHER)) == "o"
        assert b'"o"' not in (tmp_path / "state").read_bytes()


# Settings change.


async def test_what_the_settings_say_anew_is_looked_for_there(told: ToldWatch, clock: Clock) -> None:
    told.say(WEB, seen("a", "b", "c"))
    async with watching(told, clock) as watcher:
        watcher.pin(WEB)
        await until(lambda: ids(watcher.current(WEB)) == "abc")
        watcher.follow_fixed([WEB, OTHER], [])
        await until(lambda: told.opened[WEB] == 2)
        assert (told.open[WEB], ids(watcher.current(WEB))) == (1, "abc")
        told.say(WEB, seen("d"))
        await until(lambda: ids(watcher.current(WEB)) == "d")
        assert watcher.stats().restarts == 0


async def test_what_becomes_fixed_before_it_starts_is_not_read_from_the_disk(
    told: ToldWatch, clock: Clock, tmp_path: Path
) -> None:
    file = saved_at(tmp_path / "state")
    await file.save(Saved(frozenset({WEB}), 1.8e9, {WEB: SavedService(1.8e9, seen("a").instances)}))
    async with watching(told, clock, snapshot_file=file) as watcher:
        watcher.follow_fixed([WEB], [WEB])
        watcher.pin(WEB)
        assert ids(watcher.current(WEB)) == ""
        told.name("web", "other")
        told.say(WEB, seen("b"))
        told.say(OTHER, Seen((replace(instance("o"), service=OTHER),)))
        watcher.pin(OTHER)
        await until(lambda: b'"o"' in (tmp_path / "state").read_bytes())
        assert b'"b"' not in (tmp_path / "state").read_bytes()


async def test_a_service_that_is_needed_no_more_is_dropped_when_nobody_asks(
    told: ToldWatch, clock: Clock
) -> None:
    async with watching(told, clock) as watcher:
        watcher.pin(WEB)
        told.say(WEB, seen("a"))
        await until(lambda: ids(watcher.current(WEB)) == "a")
        watcher.unpin(WEB)
        clock.now += 601
        await until(lambda: not watcher.snapshots())


# What it says of itself.


async def test_statistics_and_one_line(told: ToldWatch, clock: Clock) -> None:
    async with watching(told, clock) as watcher:
        watcher.pin(WEB)
        told.name("web")
        left_out = Quarantined("x", WEB, "bad_port", "port -1")
        told.say(WEB, Seen((instance("a"), instance("b", health=Health.CRITICAL)), (left_out,)), DOWN)
        await until(lambda: watcher.ready and watcher.current(WEB).failure is not None)
        told.index_resets = 3
        clock.now += 7.0
        stats = watcher.stats()
        (web,) = stats.services
        assert (web.service, web.age_s, web.failure) == (WEB, 7.0, "unreachable")
        assert web.instances[Health.PASSING] == web.instances[Health.CRITICAL] == 1
        assert web.quarantined == {"bad_port": 1}
        assert (stats.names_age_s, stats.index_resets, stats.restarts) == (7.0, 3, 0)
        assert stats.failures == {"unreachable": 1}
        assert repr(watcher) == "<Watcher: 1 services (1 pinned), 2 instances, 0 suspect, ready>"
