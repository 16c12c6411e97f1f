"""A registry in memory that says exactly what a test tells it to, when it tells it to."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator

from registry.model import Failed, ServiceName, Update

Names = frozenset[ServiceName] | Failed


class ToldWatch:
    """A `Watch`. What was said before anybody listened is waiting; an exception breaks the stream."""

    def __init__(self) -> None:
        self.opened: Counter[str] = Counter()
        """How often each stream was opened; that of the names as "names"."""
        self.open: Counter[str] = Counter()
        self.index_resets = 0
        self.failovers = 0
        self._updates: defaultdict[ServiceName, asyncio.Queue[Update | Exception]] = defaultdict(
            asyncio.Queue
        )
        self._names: asyncio.Queue[Names | Exception] = asyncio.Queue()

    def say(self, service: str, *updates: Update | Exception) -> None:
        for update in updates:
            self._updates[ServiceName(service)].put_nowait(update)

    def name(self, *names: str) -> None:
        self._names.put_nowait(frozenset(map(ServiceName, names)))

    def fail_names(self, failure: Failed | Exception) -> None:
        self._names.put_nowait(failure)

    async def watch(self, service: ServiceName) -> AsyncGenerator[Update, None]:
        async for update in self._stream(service, self._updates[service]):
            assert not isinstance(update, frozenset)
            yield update

    async def watch_names(self) -> AsyncGenerator[Names, None]:
        async for names in self._stream("names", self._names):
            assert isinstance(names, frozenset | Failed)
            yield names

    async def _stream(
        self, name: str, said: "asyncio.Queue[Update | Exception] | asyncio.Queue[Names | Exception]"
    ) -> AsyncGenerator[Update | Names, None]:
        self.opened[name] += 1
        self.open[name] += 1
        try:
            while True:
                news = await said.get()
                if isinstance(news, Exception):
                    raise news
                yield news
        finally:
            self.open[name] -= 1
