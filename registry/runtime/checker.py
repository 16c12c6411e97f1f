"""Asks instances how they are: when the ledger says so, and only so many at a time.

A question ends with its instance: what is no longer followed is no longer asked, not even when the question
is under way. Changed verdicts are told at most twenty times a second and service: a thousand newcomers that
are up are one piece of news.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from random import Random
from types import TracebackType
from typing import Self

import structlog

from registry.health_checks import Answer, CheckLedger, HealthCheckPolicy, Place, Question
from registry.model import Endpoint, Instance, ServiceName, Verdict
from registry.runtime.asking import Asking
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

log = structlog.get_logger()

AT_ONCE = 256
"""Questions under way, each with a socket."""
TELL_AFTER_S = 0.05
AGAIN_AFTER_S = 1.0
"""After a bug."""


class Checker:
    """An async context manager. `changed(service)` is called in the event loop when verdicts have changed."""

    def __init__(
        self,
        changed: Callable[[ServiceName], None],
        *,
        ask: Callable[[Question], Awaitable[Answer]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: Random | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        self._changed = changed
        self._ask = ask
        self._clock = clock
        self._at_once = at_once
        self._ledger = CheckLedger(rng or Random())
        self._under_way: dict[Place, asyncio.Task[None]] = {}
        self._news: set[ServiceName] = set()
        self._wake = asyncio.Event()
        self._tasks = Tasks(self._task_died)
        self._stack = AsyncExitStack()
        self._running = False

    async def __aenter__(self) -> Self:
        if self._ask is None:
            self._ask = (await self._stack.enter_async_context(Asking(clock=self._clock))).ask
        self._running = True
        self._tasks.start("check", self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = False
        await self._tasks.close()
        await self._stack.aclose()

    def follow(
        self, service: ServiceName, instances: Iterable[Instance], policy: HealthCheckPolicy | None
    ) -> None:
        """Asks these, and no others of the service, from now on; without a policy, nobody."""
        for place in self._ledger.follow(service, instances, policy, self._clock()):
            if (task := self._under_way.pop(place, None)) is not None:
                task.cancel()
        self._wake.set()

    def verdicts(self, service: ServiceName) -> Mapping[Endpoint, Verdict]:
        """What is thought of each instance of a service that is asked."""
        return self._ledger.verdicts(service)

    def failed(self, service: ServiceName) -> Mapping[str, int]:
        """Questions without a good answer in total, by kind."""
        return self._ledger.failed(service)

    def took_s(self, service: ServiceName) -> float | None:
        """How long the latest good answer of the service took, `None` before the first."""
        return self._ledger.took_s(service)

    def __repr__(self) -> str:
        return f"<Checker: {self._ledger!r}, {len(self._under_way)} under way>"

    async def _run(self, after_s: float = 0.0) -> None:
        await asyncio.sleep(after_s)
        while True:
            self._wake.clear()
            for question in self._ledger.due(self._clock(), self._at_once - len(self._under_way)):
                name = f"check {question.instance.id}"
                self._under_way[question.place] = self._tasks.start(name, self._put(question))
            await self._rest()

    async def _rest(self) -> None:
        """Until the next question is due and has room, or something has changed."""
        due = self._ledger.next_due()
        full = len(self._under_way) >= self._at_once
        wait_s = None if due is None or full else max(0.0, due - self._clock())
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _put(self, question: Question) -> None:
        assert self._ask is not None
        answer = Answer.NOT_ASKED
        try:
            answer = await self._ask(question)
        finally:
            if self._under_way.get(question.place) is asyncio.current_task():
                del self._under_way[question.place]
                self._answered(question, answer)
                self._wake.set()

    def _answered(self, question: Question, answer: Answer) -> None:
        change = self._ledger.answered(question, answer, self._clock())
        if change is None:
            return
        instance = question.instance
        if change.after is Verdict.DOWN:
            log.warning("instance_down", service=instance.service, instance=instance.id, reason=answer.value)
        elif change.before is Verdict.DOWN:
            log.info("instance_up", service=instance.service, instance=instance.id)
        if not self._news:
            asyncio.get_running_loop().call_later(TELL_AFTER_S, self._tell)
        self._news.add(instance.service)

    def _tell(self) -> None:
        news, self._news = self._news, set()
        for service in news if self._running else ():
            self._changed(service)

    def _task_died(self, name: str, error: BaseException) -> None:
        """A question that died of a bug has been given back. The loop begins again, with a pause."""
        log.error("checker_task_died", task=name, trace=trace_of(error))
        if name == "check" and self._running:
            self._tasks.start("check", self._run(AGAIN_AFTER_S))
