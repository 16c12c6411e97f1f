"""What the registry says of the handlers, passed on to the seats: in order, and always the newest."""

import asyncio
from types import TracebackType
from typing import Self

import structlog

from handlers.runtime.allocator import Allocator
from handlers.stores.base import StoreUnreachable
from registry.model import ServiceSnapshot
from registry.runtime.tasks import Tasks

log = structlog.get_logger()

TRY_AGAIN_S = 1.0


class HandlerFeed:
    """An async context manager. `publish` is a listener for `Watcher.subscribe`."""

    def __init__(self, allocator: Allocator) -> None:
        self._allocator = allocator
        self._newest: ServiceSnapshot | None = None
        self._news = asyncio.Event()
        self._failing = False
        self._tasks = Tasks(self._died)

    def publish(self, snapshot: ServiceSnapshot) -> None:
        self._newest = snapshot
        self._news.set()

    async def __aenter__(self) -> Self:
        self._tasks.start("handler feed", self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.close()

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            snapshot = self._newest
            assert snapshot is not None
            try:
                await self._allocator.sync(snapshot)
            except StoreUnreachable:
                if not self._failing:
                    log.warning("handlers_not_synced", reason="store_unreachable")
                self._failing = True
                await asyncio.sleep(TRY_AGAIN_S)
                self._news.set()
            else:
                if self._failing:
                    log.info("handlers_synced_again")
                self._failing = False

    def _died(self, name: str, error: BaseException) -> None:
        """A bug in one snapshot must not end the feed: the next one may be good."""
        log.error("task_died", task=name, exc_info=error)
        self._tasks.start("handler feed", self._run())
