"""Revoked tokens in a Redis that all gateways share, and a copy of them here.

The copy is what requests are checked against, so none of them waits for Redis. It is brought up to date every
`refresh_s` by one call, which also carries what was revoked here and Redis does not know yet: because it was
away, or because it has come back empty.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from uuid import uuid4

import orjson
import structlog

from gateway.denylists.base import Denylist, DenylistSettings
from gateway.revocation import RevokedTokens
from handlers.stores.lua.script import LuaScript, open_redis, read_script
from registry.runtime.batches import Unanswered
from registry.runtime.clock import unix_now
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

log = structlog.get_logger()

KEYS = [f"quaymaster:1:{{revoked}}:{name}".encode() for name in ("expiry", "number", "state")]
"""The 1 is the version of what they hold: gateways of different versions share revocations or nothing."""
MOST = 500
"""Tokens that one call carries to Redis."""
FRESH_S = 1.0
"""For so long what was read from Redis is up to date, or for two refreshes if that is longer."""


class RedisDenylist:
    """Whoever has made it awaits `refresh` once, `start`s it and awaits `close` in the end."""

    def __init__(
        self,
        script: LuaScript,
        settings: DenylistSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = unix_now,
    ) -> None:
        self._script = script
        self._clock = clock
        self._unix_clock = unix_clock
        self._revoked = RevokedTokens(settings.max_tokens)
        self.holds = self._revoked.holds
        self._untold = RevokedTokens(settings.max_tokens)
        self._refresh_s = settings.refresh_s
        self._life, self._since = "", "0"
        self._read_at = -float("inf")
        self._one_at_a_time = asyncio.Lock()
        self._closing = False
        self._tasks = Tasks(self._died)

    async def add(self, token_id: str, expires_at: float) -> bool:
        now = self._unix_clock()
        self._revoked.add(token_id, expires_at, now)
        self._untold.add(token_id, expires_at, now)
        await self.refresh()
        return not self._untold.holds(token_id)

    @property
    def healthy(self) -> bool:
        return self._clock() - self._read_at <= max(FRESH_S, 2 * self._refresh_s)

    def follow(self, settings: DenylistSettings) -> None:
        self._refresh_s = settings.refresh_s
        self._revoked.most = self._untold.most = settings.max_tokens
        self._revoked.tidy(self._unix_clock())

    async def refresh(self) -> None:
        """Tells Redis what it does not know, and learns what is new; all in vain while it does not answer."""
        asked_at = self._clock()
        async with self._one_at_a_time:
            if self._read_at > asked_at and not len(self._untold):
                return  # somebody has done it meanwhile
            try:
                while await self._exchange():
                    pass
            except Unanswered:
                return

    async def _exchange(self) -> bool:
        """One call; whether there is more to tell or to learn."""
        self._script.expect_answer()
        began, told = self._clock(), list(islice(self._untold.items(), MOST))
        arguments = [self._life, self._since, str(self._revoked.most)]
        said = await self._script.run(
            KEYS,
            (
                *(text.encode() for text in arguments),
                orjson.dumps([(token_id, repr(expires_at)) for token_id, expires_at in told]),
                uuid4().hex.encode(),
            ),
        )
        life, since, more, news = orjson.loads(said)
        now = self._unix_clock()
        self._untold.discard(told)
        if self._life and life != self._life:
            # It has forgotten everything: what is revoked would be good again at those who start now.
            for token_id, expires_at in self._revoked.items():
                self._untold.add(token_id, expires_at, now)
        self._life, self._since = life, since
        for token_id, expires_at in news:
            self._revoked.add(token_id, float(expires_at), now)
        if more or len(self._untold):
            return True
        self._read_at = began
        return False

    def start(self) -> None:
        self._tasks.start("refresh denylist", self._keep_fresh())

    async def close(self) -> None:
        self._closing = True
        await self._tasks.close()
        await self._script.close()

    async def _keep_fresh(self) -> None:
        # A client that is cancelled in the middle of an answer may report a lost connection instead.
        while not self._closing:
            await asyncio.sleep(self._refresh_s)
            await self.refresh()

    def _died(self, name: str, error: BaseException) -> None:
        """Of a bug. Nothing that others revoke would be known here if it were left at that."""
        log.error("task_died", task=name, trace=trace_of(error))
        if self._closing:
            return
        self._tasks.start(name, self._keep_fresh())

    def __repr__(self) -> str:
        return f"<RedisDenylist: {len(self._revoked)} tokens, {len(self._untold)} untold>"


@asynccontextmanager
async def open_denylist(url: str, settings: DenylistSettings) -> AsyncIterator[Denylist]:
    """Knows what Redis knows, if that is there. Raises `ValueError` for a URL that is none of Redis."""
    async with open_redis(url) as redis:
        script = LuaScript(redis, read_script(Path(__file__).parent / "lua", "revoked"))
        denylist = RedisDenylist(script, settings)
        try:
            await denylist.refresh()
            denylist.start()
            yield denylist
        finally:
            await denylist.close()
