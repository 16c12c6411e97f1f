"""Requests under way while something happens."""

import asyncio
from types import TracebackType
from typing import Self

import aiohttp

WORKERS = 4
PAUSE_S = 0.005
"""Between two requests of a worker: the machine has other work too."""


class Load:
    """An async context manager: a few clients that ask one after the other, each request with its own id.

    Unless they `keep` their connections, each request has one of its own.
    """

    def __init__(self, port: int, method: str = "GET", *, keep: bool = True) -> None:
        self.statuses: dict[str, int | str] = {}
        """What each request was answered, by its id; the fault's name where there was no answer."""
        self._url = f"http://127.0.0.1:{port}/open/x"
        self._method = method
        self._keep = keep
        self._workers: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self._told = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=10),
            connector=aiohttp.TCPConnector(force_close=not self._keep),
        )
        loop = asyncio.get_running_loop()
        self._workers = [loop.create_task(self._ask_on(self._session, f"w{n}")) for n in range(WORKERS)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        assert self._session is not None
        await self._session.close()

    async def more(self, count: int, within_s: float = 20.0) -> None:
        """Returns once that many further requests have been answered."""
        wanted = len(self.statuses) + count
        async with asyncio.timeout(within_s):
            while len(self.statuses) < wanted:
                self._told.clear()
                await self._told.wait()

    @property
    def failed(self) -> dict[str, int | str]:
        return {name: status for name, status in self.statuses.items() if status != 200}

    async def _ask_on(self, session: aiohttp.ClientSession, name: str) -> None:
        number = 0
        body = b"x" if self._method == "POST" else None
        while True:
            number += 1
            request_id = f"{name}-{number}"
            try:
                headers = {"X-Request-Id": request_id}
                async with session.request(self._method, self._url, headers=headers, data=body) as answer:
                    await answer.read()
                    self.statuses[request_id] = answer.status
            except (aiohttp.ClientError, TimeoutError) as error:
                self.statuses[request_id] = type(error).__name__
            self._told.set()
            await asyncio.sleep(PAUSE_S)
