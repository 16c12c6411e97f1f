"""One client of the crowd: says 1, 2, 3, …, each once the one before was answered, and checks the answers.

What has no answer yet is said again at the next handler, and only there: on one connection nothing may get
lost. Answers carry the number as `seq`, so the client passes on each once.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiohttp import ClientSession

from handlers.runtime.client import HandlerClient, State, Status
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

log = structlog.get_logger()


@dataclass(slots=True)
class Counts:
    """Of one client, over all connections it has had."""

    said: int = 0
    heard: int = 0
    again: int = 0
    """Said once more, at another handler."""
    skipped: int = 0
    """Numbers that never came, though a later one did."""
    doubled: int = 0

    def hear(self, seq: int) -> None:
        if seq <= self.heard:
            self.doubled += 1
            return
        self.skipped += seq - self.heard - 1
        self.heard = seq

    @property
    def unanswered(self) -> int:
        return self.said - self.heard


@dataclass
class Talker:
    """`every_s` is the mean pause between two numbers."""

    uid: str
    token: str
    gateway: str
    session: ClientSession
    every_s: float
    rng: random.Random
    counts: Counts = field(default_factory=Counts)
    quiet: bool = False
    """Says nothing new; what has been said is still to be answered."""

    def __post_init__(self) -> None:
        self._news = asyncio.Event()
        self._tasks = Tasks(self._died)
        self.failed = False
        self.client = HandlerClient(
            self.gateway,
            uid=self.uid,
            token=self.token,
            session=self.session,
            on_status=self._on_status,
            queue=16,
            rng=self.rng,
        )

    async def start(self) -> None:
        await self.client.__aenter__()
        self._tasks.start(f"ears of {self.uid}", self._listen())
        self._tasks.start(f"mouth of {self.uid}", self._talk())

    async def stop(self) -> None:
        await self._tasks.close()
        await self.client.close()

    async def _listen(self) -> None:
        async for message in self.client:
            assert isinstance(message, dict)
            self.counts.hear(_number(message))
            self._news.set()

    async def _talk(self) -> None:
        await self.client.connected(timeout_s=3600)
        while True:
            await asyncio.sleep(self.every_s * self.rng.uniform(0.5, 1.5))
            if not self.quiet:
                await self._say(self.counts.said + 1)

    async def _say(self, number: int) -> None:
        self.counts.said = number
        self._news.clear()
        await self.client.send({"say": number})
        while self.counts.heard < number:
            await self._news.wait()
            self._news.clear()
            if self.counts.heard < number:
                self.counts.again += 1
                await self.client.send({"say": number})

    def _on_status(self, status: Status) -> None:
        if status.state is State.CONNECTED:
            self._news.set()

    def _died(self, name: str, error: BaseException) -> None:
        self.failed = True
        log.error("task_died", task=name, trace=trace_of(error))


def _number(message: dict[str, Any]) -> int:
    number = message["seq"]
    assert isinstance(number, int)
    return number
