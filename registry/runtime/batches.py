"""Calls that go to one place together: those of one turn of the event loop, and those that come meanwhile.

At most one batch is under way. So calls reach the other side in the order in which they were made, a
thousand callers cost one round trip, and a lone caller waits for nobody. When one batch is not answered,
neither are the calls that wait for the next one: nobody waits longer than one batch does.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeAlias, TypeVar

import structlog

from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

log = structlog.get_logger()

LAST_CALLS_S = 1.0
"""For the calls that wait when everything ends. What they would have said runs out by itself."""

C = TypeVar("C")
A = TypeVar("A")


class Unanswered(Exception):
    """The other side did not answer, or not in time. It may have done what it was asked all the same."""


Batch: TypeAlias = list[tuple[C, asyncio.Future[A | Unanswered] | None]]


class Batches(Generic[C, A]):
    """Sends calls with `send`, which returns one answer each, in order, or raises `Unanswered`.

    `most` is the longest batch, `waiting` how many calls may wait for the next ones.
    """

    def __init__(
        self,
        send: Callable[[Sequence[C]], Awaitable[Sequence[A]]],
        *,
        most: int = 128,
        waiting: int = 10_000,
    ) -> None:
        self._send = send
        self._most = most
        self._limit = waiting
        self._waiting: deque[tuple[C, asyncio.Future[A | Unanswered] | None]] = deque()
        self._under_way: asyncio.Task[None] | None = None
        self._tasks = Tasks(self._died)

    async def call(self, what: C) -> A:
        """The answer to `what`. Raises `Unanswered`.

        A caller that is cancelled takes nothing from the others. Its own call is not made, unless it is
        under way already.
        """
        if len(self._waiting) >= self._limit:
            raise Unanswered(f"{self._limit} calls wait already")
        answer: asyncio.Future[A | Unanswered] = asyncio.get_running_loop().create_future()
        self._waiting.append((what, answer))
        self._start()
        said = await answer
        if isinstance(said, Unanswered):
            raise said
        return said

    def post(self, what: C) -> None:
        """Makes a call after all earlier ones; nobody learns of its answer, or that there is none."""
        if len(self._waiting) < self._limit:
            self._waiting.append((what, None))
            self._start()

    async def close(self) -> None:
        """Makes the calls that wait, with a chance to be answered, and takes no more."""
        self._limit = 0
        if self._under_way is not None:
            await asyncio.wait([self._under_way], timeout=LAST_CALLS_S)
        await self._tasks.close()

    def _start(self) -> None:
        if self._under_way is None:
            # Runs after everybody whose turn it is has made their calls.
            self._under_way = self._tasks.start("batches", self._run())

    async def _run(self) -> None:
        batch: Batch[C, A] = []
        try:
            while batch := self._next():
                await self._deliver(batch)
        finally:
            self._under_way = None
            # Nobody is left over when this was stopped, or died of a bug.
            batch += self._waiting
            self._waiting.clear()
            self._fail(batch, "the calls were stopped")

    def _next(self) -> Batch[C, A]:
        batch: Batch[C, A] = []
        while self._waiting and len(batch) < self._most:
            what, answer = self._waiting.popleft()
            if answer is None or not answer.done():
                batch.append((what, answer))
        return batch

    async def _deliver(self, batch: Batch[C, A]) -> None:
        try:
            answers = await self._send([what for what, _ in batch])
        except Unanswered as failed:
            # Who waits behind would only wait as long again, batch after batch.
            waiting = list(self._waiting)
            self._waiting.clear()
            self._fail(batch + waiting, str(failed))
            return
        for (_, answer), said in zip(batch, answers, strict=True):
            if answer is not None and not answer.done():
                answer.set_result(said)

    def _fail(self, batch: Batch[C, A], why: str) -> None:
        for _, answer in batch:
            if answer is not None and not answer.done():
                # One of its own for each: a raised exception collects the trace of its caller.
                answer.set_result(Unanswered(why))

    def _died(self, name: str, error: BaseException) -> None:
        log.error("task_died", task=name, trace=trace_of(error))

    def __repr__(self) -> str:
        return f"<Batches: {len(self._waiting)} waiting, {'one' if self._under_way else 'none'} under way>"
