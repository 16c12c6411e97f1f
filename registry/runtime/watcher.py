"""Keeps one snapshot per needed service fresh, and lets readers have it without waiting.

One watch for each service that is needed: those pinned by the settings, and others from their first
`ask` until nobody has asked for a while. What an update means is decided in registry/merge.py. Each
snapshot is published by one assignment, so a reader never sees half of a change.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
from types import TracebackType
from typing import Self

import structlog

from registry.backends.base import Watch
from registry.merge import SUSPECT_S, Known, believe, merge, nothing_known
from registry.model import Failed, ServiceName, ServiceSnapshot, Status, Update, snapshot
from registry.names import is_service_name
from registry.runtime.follow import follow
from registry.runtime.probe import refusing
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of
from registry.stats import WatchStats, service_stats

log = structlog.get_logger()

Listener = Callable[[ServiceSnapshot], None]

MAX_UNPINNED = 1000
"""How many services are watched because somebody asked: the one longest not asked for gives way."""
TEND_EVERY_S = 1.0


@dataclass(slots=True)
class _Watched:
    known: Known
    asked_at: float
    told: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first update of any kind."""
    task: "asyncio.Task[None] | None" = None


@dataclass(frozen=True, slots=True)
class _Names:
    known: frozenset[ServiceName] = frozenset()
    answered_at: float | None = None
    failure: str | None = None


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
        clock: Callable[[], float] = time.monotonic,
        rng: Random | None = None,
    ) -> None:
        """`silent_after_s` must be longer than a watch may rightly say nothing: registry/blocking.py."""
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
        self._listeners: dict[ServiceName, list[Listener]] = {}
        self._names = _Names()
        self._names_told = asyncio.Event()
        self._suspicion = asyncio.Event()
        self._failures: Counter[str] = Counter()
        self._restarts = 0

    async def __aenter__(self) -> Self:
        self._running = True
        self._follow_names()
        for service in self._watched:
            self._follow_service(service)
        self._tasks.start("tend", self._tend())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = False
        await self._tasks.close()

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

    def snapshots(self) -> Mapping[ServiceName, ServiceSnapshot]:
        """All watched services."""
        return {name: watched.known.snapshot for name, watched in self._watched.items()}

    def subscribe(self, service: ServiceName, listener: Listener) -> None:
        """Calls `listener` now and after every published change, in the event loop; it must not block.

        It starts no watch, but a watch with a listener is never dropped for idleness.
        """
        self._listeners.setdefault(service, []).append(listener)
        listener(self.current(service))

    def stats(self) -> WatchStats:
        now = self._clock()
        names_at = self._names.answered_at
        return WatchStats(
            services=tuple(service_stats(watched.known.snapshot, now) for watched in self._watched.values()),
            names_age_s=None if names_at is None else now - names_at,
            failures=dict(self._failures),
            index_resets=self._watch.index_resets,
            restarts=self._restarts,
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
            await self._names_told.wait()
            if service not in self._names.known:
                return
            watched = self._watched.get(service) or self._start(service)
        watched.asked_at = self._clock()
        await watched.told.wait()

    def _start(self, service: ServiceName) -> _Watched:
        if service not in self._pinned:
            self._make_room()
        watched = self._watched[service] = _Watched(nothing_known(service), self._clock())
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
        if dropped.task is not None:
            dropped.task.cancel()
        log.info("watch_dropped", service=service)

    def _follow_service(self, service: ServiceName) -> None:
        work = follow(
            service,
            partial(self._watch.watch, service),
            partial(self._take, service),
            silent_after_s=self._silent_after_s,
            rng=self._rng,
            restarted=self._count_restart,
        )
        self._watched[service].task = self._tasks.start(f"watch {service}", work)

    def _follow_names(self) -> None:
        work = follow(
            "names",
            self._watch.watch_names,
            self._take_names,
            silent_after_s=self._silent_after_s,
            rng=self._rng,
            restarted=self._count_restart,
        )
        self._tasks.start("watch names", work)

    def _count_restart(self) -> None:
        self._restarts += 1

    def _task_died(self, name: str, error: BaseException) -> None:
        """Watches open themselves anew, so this is the tending task: it begins again, with a pause."""
        log.error("watcher_task_died", task=name, trace=trace_of(error))
        if self._running:
            self._tasks.start("tend", self._tend())

    # Updates come in.

    def _take_names(self, news: frozenset[ServiceName] | Failed) -> None:
        if isinstance(news, Failed):
            self._failures[news.reason] += 1
            if news.reason != self._names.failure:
                log.warning("names_failed", reason=news.reason, detail=news.detail)
            self._names = _Names(self._names.known, self._names.answered_at, news.reason)
        else:
            self._names = _Names(news, self._clock())
        self._names_told.set()

    def _take(self, service: ServiceName, update: Update) -> None:
        watched = self._watched.get(service)
        if watched is None:
            return
        if isinstance(update, Failed):
            self._failures[update.reason] += 1
            if update.reason != watched.known.snapshot.failure:
                log.warning("watch_failed", service=service, reason=update.reason, detail=update.detail)
        self._publish(watched, merge(watched.known, update, self._clock(), suspect_s=self._suspect_s))
        watched.told.set()

    def _publish(self, watched: _Watched, known: Known) -> None:
        before, after = watched.known, known
        watched.known = known
        if new := after.deadlines.keys() - before.deadlines.keys():
            log.warning("removal_distrusted", service=after.snapshot.service, instances=sorted(new))
            self._suspicion.set()
        if after.snapshot.version != before.snapshot.version:
            _log_change(before.snapshot, after.snapshot)
            for listener in self._listeners.get(after.snapshot.service, ()):
                _call(listener, after.snapshot)

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
        ends = (at - now for watched in self._watched.values() for at in watched.known.deadlines.values())
        try:
            async with asyncio.timeout(max(0.0, min((self._tend_every_s, *ends)))):
                await self._suspicion.wait()
        except TimeoutError:
            pass
        self._suspicion.clear()


def _log_change(before: ServiceSnapshot, after: ServiceSnapshot) -> None:
    for left_out in set(after.quarantined) - set(before.quarantined):
        log.warning(
            "instance_quarantined",
            service=after.service,
            instance=left_out.id,
            reason=left_out.reason,
            detail=left_out.detail,
        )
    if after.instances is not before.instances or after.status is not before.status:
        log.info(
            "service_changed",
            service=after.service,
            status=after.status.value,
            instances=len(after.instances),
            usable=len(after.usable),
            version=after.version,
        )
    elif before.failure is not None and after.failure is None:
        log.info("watch_recovered", service=after.service)


def _call(listener: Listener, news: ServiceSnapshot) -> None:
    try:
        listener(news)
    except Exception as error:  # noqa: BLE001 one listener's bug must not keep the news from the others
        log.error("listener_failed", service=news.service, trace=trace_of(error))
