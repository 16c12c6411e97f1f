"""Keeps the key set of one issuer as new as it has to be.

It is fetched anew every `refresh_s`, and when a token names a key that is not in it, which is how a new key
is noticed; but strangers make up keys too, so for that at most every `MIN_GAP_S`. One fetch at a time. While
the issuer does not answer, or with nonsense, the last good set stays.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from gateway.jwks import read_jwks
from gateway.runtime.jwks_client import NotFetched
from gateway.token_keys import KeySet
from registry.runtime.tasks import Tasks

log = structlog.get_logger()

MIN_GAP_S = 30.0
RETRY_S = 5.0
"""After a fetch that has failed; while there are no keys at all, `FIRST_RETRY_S`."""
FIRST_RETRY_S = 1.0


class JwksKeeper:
    """`took` gets every good set. The tasks are `tasks`' to end; `stop` ends what this has begun."""

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[bytes]],
        url: str,
        algorithms: Sequence[str],
        refresh_s: float,
        took: Callable[[KeySet], None],
        tasks: Tasks,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._fetch = fetch
        self.url = url
        self._algorithms = algorithms
        self._refresh_s = refresh_s
        self._took = took
        self._tasks = tasks
        self._clock = clock
        self._sleep = sleep
        self._tried_at = -float("inf")
        self._failing = False
        self._has_keys = False
        self._loop: asyncio.Task[None] | None = None
        self._fetching: asyncio.Task[None] | None = None

    def start(self, *, has_keys: bool) -> None:
        """Begins to fetch. `has_keys`: there is a set already, of an earlier keeper."""
        self._has_keys = has_keys
        self._loop = self._tasks.start("keep jwks", self._keep(self._under_way()))

    def stop(self) -> None:
        for task in (self._loop, self._fetching):
            if task is not None:
                task.cancel()

    async def first(self) -> None:
        """Returns when the fetch that is under way, if there is one, has ended."""
        if self._fetching is not None:
            await asyncio.wait([self._fetching])

    async def look_again(self) -> None:
        """Returns when the set is as new as it may be."""
        if self._fetching is None and self._clock() - self._tried_at < MIN_GAP_S:
            return
        await asyncio.wait([self._under_way()])

    async def _keep(self, fetching: "asyncio.Task[None]") -> None:
        while True:
            await asyncio.wait([fetching])
            retry_s = RETRY_S if self._has_keys else FIRST_RETRY_S
            await self._sleep(min(retry_s, self._refresh_s) if self._failing else self._refresh_s)
            fetching = self._under_way()

    def _under_way(self) -> "asyncio.Task[None]":
        if self._fetching is None:
            self._tried_at = self._clock()
            self._fetching = self._tasks.start("fetch jwks", self._fetch_once())
        return self._fetching

    async def _fetch_once(self) -> None:
        try:
            found = read_jwks(await self._fetch(self.url), self._algorithms)
        except NotFetched as error:
            found = str(error)
        finally:
            self._fetching = None
        if isinstance(found, str):
            if not self._failing:
                log.warning("jwks_unavailable", url=self.url, detail=found, has_keys=self._has_keys)
            self._failing = True
            return
        if self._failing:
            log.info("jwks_available_again", url=self.url)
        self._failing, self._has_keys = False, True
        self._took(found)

    def __repr__(self) -> str:
        return f"<JwksKeeper: {'failing' if self._failing else 'good'}>"
