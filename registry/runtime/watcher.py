"""Keeps one snapshot per needed service fresh, and lets readers have it without waiting.

One watch for each service that is needed: those pinned by the settings, and others from their first
`ask` until nobody has asked for a while. What an update means is decided in registry/merge.py, together with
what our own checks say (checker.py). Each snapshot is published by one assignment, so a reader never sees
half of a change. Until the registry answers, the file of the last run speaks for it (last_run.py).
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from types import TracebackType
from typing import Self, TypeVar

import structlog

from registry.backends.base import Watch
from registry.health_checks import HealthCheckPolicy
from registry.merge import SUSPECT_S, Known, believe, judge, merge, nothing_known
from registry.model import Failed, ServiceName, ServiceSnapshot, Status, Update, snapshot
from registry.names import is_service_name
from registry.runtime.checker import Checker
from registry.runtime.follow import follow
from registry.runtime.known_names import KnownNames
from registry.runtime.last_run import LastRun
from registry.runtime.listeners import Listener, Listeners
from registry.runtime.probe import refusing
from registry.runtime.snapshot_file import SnapshotFile
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of
from registry.snapshot_codec import Saved
from registry.stats import WatchStats, service_stats

log = structlog.get_logger()

T = TypeVar("T")

MAX_UNPINNED = 1000
"""How many services are watched because somebody asked: the one longest not asked for gives way."""
TEND_EVERY_S = 1.0


@dataclass(slots=True)
class _Watched:
    known: Known
    asked_at: float
    told: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first update of any kind."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the next change, and replaced by another one."""
    task: "asyncio.Task[None] | None" = None


class Watcher:
    """An async context manager. Everything but `ask` returns at once."""

    def __init__(
        self,
        watch: Watch,
        *,
        suspect_s: float = SUSPECT_S,
        idle_s: float = 600.0,
        silent_after_s: float = 40.0,
        tend_every_s: float = TEND_EVERY_S,
        checks: Mapping[ServiceName, HealthCheckPolicy] | None = None,
        snapshot_file: SnapshotFile | None = None,
        unsaved: Collection[ServiceName] = (),
        clock: Callable[[], float] = time.monotonic,
        rng: Random | None = None,
    ) -> None:
        """`silent_after_s` must be longer than a watch may rightly say nothing: registry/blocking.py.

        The instances of the services of `checks` are also asked by this process. `unsaved` are services that
        the settings know better than any file.
        """
        self._watch = watch
        self._suspect_s = suspect_s
        self._idle_s = idle_s
        self._silent_after_s = silent_after_s
        self._tend_every_s = tend_every_s
        self._clock = clock
        self._rng = rng or Random()
        self._tasks = Tasks(self._task_died)
        self._running = False
        self._pinned: set[ServiceName] = set()
        self._watched: dict[ServiceName, _Watched] = {}
        self._listeners = Listeners()
        self._checks = dict(checks or {})
        self._checker = Checker(self._judge, clock=clock, rng=self._rng)
        self._last_run = LastRun(snapshot_file, unsaved, clock)
        self._notes: Counter[str] = Counter()
        self._stack = AsyncExitStack()
        self._failures: Counter[str] = Counter()
        self._names = KnownNames(self._failures, clock, self._last_run.changed)
        self._suspicion = asyncio.Event()
        self._restarts = 0

    async def __aenter__(self) -> Self:
        await self._resume()
        await self._stack.enter_async_context(self._checker)
        self._running = True
        self._follow_names()
        for service in self._watched:
            self._follow_service(service)
        self._tasks.start("tend", self._tend())
        self._keep_saving()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = False
        for watched in self._watched.values():
            watched.news.set()
        await self._tasks.close()
        await self._stack.aclose()

    # What readers use.

    @property
    def ready(self) -> bool:
        """Whether the names and every pinned service have been answered once."""
        waiting = (self._watched[name].known.snapshot.answered_at is None for name in self._pinned)
        return self._names.answered_at is not None and not any(waiting)

    def pin(self, service: ServiceName) -> None:
        """Watches it as long as this runs. Raises `ValueError` for what can be no service's name."""
        if not is_service_name(service):
            raise ValueError(f"{service!r} is no service name")
        self._pinned.add(service)
        if service not in self._watched:
            self._start(service)

    def unpin(self, service: ServiceName) -> None:
        """Watches it no longer than somebody asks for it."""
        self._pinned.discard(service)

    def current(self, service: ServiceName) -> ServiceSnapshot:
        """What is known now. Never waits and never starts a watch."""
        watched = self._watched.get(service)
        if watched is not None:
            return watched.known.snapshot
        names = self._names
        if names.answered_at is None or service in names.known:
            return snapshot(service, Status.UNREACHABLE, failure=names.failure)
        return snapshot(service, Status.UNKNOWN, answered_at=names.answered_at, failure=names.failure)

    async def ask(self, service: ServiceName, patience_s: float = 0.3) -> ServiceSnapshot:
        """As `current`, but the first ask of a service that exists starts its watch and waits a little.

        A name that the registry does not know costs it nothing: the names themselves are watched.
        """
        watched = self._watched.get(service)
        if watched is not None and watched.told.is_set():
            # Nothing to wait for: a timeout alone costs more than all the rest of an answer.
            watched.asked_at = self._clock()
            return watched.known.snapshot
        try:
            async with asyncio.timeout(patience_s):
                await self._told(service)
        except TimeoutError:
            pass
        return self.current(service)

    async def changed(self, service: ServiceName, version: int, patience_s: float) -> ServiceSnapshot:
        """What is known once it is not that `version` any more; at the latest after `patience_s`.

        As `ask`, it starts the watch of a service that exists; of one that doesn't, it returns at once.
        """
        try:
            async with asyncio.timeout(patience_s):
                await self._told(service)
                while self._running and (watched := self._watched.get(service)) is not None:
                    if watched.known.snapshot.version != version:
                        break
                    await watched.news.wait()
        except TimeoutError:
            pass
        return self.current(service)

    def snapshots(self) -> Mapping[ServiceName, ServiceSnapshot]:
        """All watched services."""
        return {name: watched.known.snapshot for name, watched in self._watched.items()}

    def subscribe(self, service: ServiceName, listener: Listener) -> None:
        """Calls `listener` now and after every published change, in the event loop; it must not block.

        It starts no watch, but a watch with a listener is never dropped for idleness.
        """
        self._listeners.add(service, listener)
        listener(self.current(service))

    def follow_checks(self, checks: Mapping[ServiceName, HealthCheckPolicy]) -> None:
        """From now on the instances of these services are asked, so; verdicts that stay valid are kept."""
        self._checks = dict(checks)
        for service, watched in list(self._watched.items()):
            self._check(service, watched.known.snapshot)
            self._judge(service)

    def follow_fixed(self, moved: Collection[ServiceName], unsaved: Collection[ServiceName]) -> None:
        """The settings have said anew where the services of `moved` are: they are looked for there.

        Until that is answered they stay where they were. `unsaved` as at the start.
        """
        self._last_run.leave_out(unsaved, forget=moved)
        for service in moved:
            watched = self._watched.get(service)
            if watched is None:
                continue
            watched.known = replace(watched.known, renewed=True)
            if watched.task is not None:
                watched.task.cancel()
                self._follow_service(service)

    def took_s(self, service: ServiceName) -> float | None:
        """How long the latest good answer to a health check of the service took; `None` without any."""
        return self._checker.took_s(service)

    def stats(self) -> WatchStats:
        now, names_at, file = self._clock(), self._names.answered_at, self._last_run.file
        return WatchStats(
            services=tuple(
                service_stats(watched.known.snapshot, now, self._checker.failed(service))
                for service, watched in self._watched.items()
            ),
            names_age_s=None if names_at is None else now - names_at,
            failures=dict(self._failures),
            index_resets=self._watch.index_resets,
            restarts=self._restarts,
            failovers=self._watch.failovers,
            notes=dict(self._notes),
            saved_age_s=None if file is None else file.age_s(),
            save_failures=0 if file is None else file.failures,
        )

    def __repr__(self) -> str:
        every = [i for known in self.snapshots().values() for i in known.instances]
        return (
            f"<Watcher: {len(self._watched)} services ({len(self._pinned)} pinned), {len(every)} instances, "
            f"{sum(i.suspect for i in every)} suspect, {'ready' if self.ready else 'not ready'}>"
        )

    # Watches begin and end.

    async def _told(self, service: ServiceName) -> None:
        watched = self._watched.get(service)
        if watched is None:
            if not self._last_run.knows(service):
                await self._names.told.wait()
                if service not in self._names.known:
                    return
            watched = self._watched.get(service) or self._start(service)
        watched.asked_at = self._clock()
        await watched.told.wait()

    def _start(self, service: ServiceName) -> _Watched:
        if service not in self._pinned:
            self._make_room()
        known = self._last_run.take(service) or nothing_known(service)
        watched = self._watched[service] = _Watched(known, self._clock())
        if self._running:
            self._follow_service(service)
        return watched

    def _make_room(self) -> None:
        unpinned = self._droppable()
        if len(unpinned) >= MAX_UNPINNED:
            self._drop(min(unpinned, key=lambda name: self._watched[name].asked_at))

    def _droppable(self) -> list[ServiceName]:
        return [name for name in self._watched if name not in self._pinned and name not in self._listeners]

    def _drop(self, service: ServiceName) -> None:
        dropped = self._watched.pop(service)
        dropped.news.set()
        self._checker.follow(service, (), None)
        if dropped.task is not None:
            dropped.task.cancel()
        log.info("watch_dropped", service=service)

    def _follow_service(self, service: ServiceName) -> None:
        work = self._follow(service, partial(self._watch.watch, service), partial(self._take, service))
        self._watched[service].task = self._tasks.start(f"watch {service}", work)

    def _follow_names(self) -> None:
        self._tasks.start("watch names", self._follow("names", self._watch.watch_names, self._names.take))

    def _follow(
        self,
        name: str,
        open_stream: Callable[[], AsyncGenerator[T | Failed, None]],
        take: Callable[[T | Failed], None],
    ) -> Coroutine[None, None, None]:
        return follow(
            name,
            open_stream,
            take,
            silent_after_s=self._silent_after_s,
            rng=self._rng,
            restarted=self._count_restart,
        )

    def _count_restart(self) -> None:
        self._restarts += 1

    def _task_died(self, name: str, error: BaseException) -> None:
        """Watches open themselves anew; the others begin again, with a pause."""
        log.error("watcher_task_died", task=name, trace=trace_of(error))
        if self._running and name == "tend":
            self._tasks.start("tend", self._tend())
        elif self._running and name == "save":
            self._keep_saving()

    # Updates come in.

    def _take(self, service: ServiceName, update: Update) -> None:
        watched = self._watched.get(service)
        if watched is None:
            return
        if isinstance(update, Failed):
            self._failures[update.reason] += 1
            if update.reason != watched.known.snapshot.failure:
                log.warning("watch_failed", service=service, reason=update.reason, detail=update.detail)
        elif update.note is not None:
            self._notes[update.note] += 1
        self._publish(watched, merge(watched.known, update, self._clock(), suspect_s=self._suspect_s))
        watched.told.set()

    def _publish(self, watched: _Watched, known: Known) -> None:
        before, after = watched.known, known
        watched.known = known
        if new := after.deadlines.keys() - before.deadlines.keys():
            log.warning("removal_distrusted", service=after.snapshot.service, instances=sorted(new))
            self._suspicion.set()
        if after.snapshot.version == before.snapshot.version:
            return
        watched.news.set()
        watched.news = asyncio.Event()
        if after.snapshot.instances is not before.snapshot.instances:
            self._check(after.snapshot.service, after.snapshot)
        self._last_run.changed()
        self._listeners.tell(before.snapshot, after.snapshot)

    def _check(self, service: ServiceName, known: ServiceSnapshot) -> None:
        self._checker.follow(service, known.instances, self._checks.get(service))

    def _judge(self, service: ServiceName) -> None:
        """Takes in what our own checks say."""
        watched = self._watched.get(service)
        if watched is not None:
            self._publish(watched, judge(watched.known, self._checker.verdicts(service), self._clock()))

    # The last good state goes to the disk and comes back.

    async def _resume(self) -> None:
        names = await self._last_run.read()
        for service, watched in self._watched.items():
            if (known := self._last_run.take(service)) is not None:
                self._publish(watched, known)
        if names is not None:
            self._names.resume(names.names, names.answered_at)

    def _keep_saving(self) -> None:
        if (file := self._last_run.file) is not None:
            self._tasks.start("save", file.keep(self._saved))

    def _saved(self) -> Saved | None:
        watched = {name: watched.known for name, watched in self._watched.items()}
        return self._last_run.worth_saving(watched, self._names.known, self._names.answered_at)

    # Time passes.

    async def _tend(self) -> None:
        """Asks suspects whether they are there, ends suspicions, drops watches that nobody needs."""
        await asyncio.sleep(self._tend_every_s)
        while True:
            await self._rest()
            suspects = [i for watched in self._watched.values() for i in watched.known.suspects]
            refused = await refusing(suspects)
            now = self._clock()
            for watched in list(self._watched.values()):
                self._publish(watched, believe(watched.known, now, refused))
            for service in self._droppable():
                if now - self._watched[service].asked_at > self._idle_s:
                    self._drop(service)

    async def _rest(self) -> None:
        """Until the next look is due: at once for new suspects, at the latest when a suspicion ends."""
        now = self._clock()
        deadlines = (at for watched in self._watched.values() for at in watched.known.deadlines.values())
        ends = (at - now for at in deadlines if at > now)  # our checks may vouch for one beyond its deadline
        try:
            async with asyncio.timeout(min((self._tend_every_s, *ends))):
                await self._suspicion.wait()
        except TimeoutError:
            pass
        self._suspicion.clear()
