"""Counts requests in a Redis that all gateways share, so that a limit holds for all of them together.

Redis' own time counts. While Redis does not answer, each gateway counts for itself and allows its share: the
limit divided by the number of gateways that were there last.

Who was refused is refused again here, without asking, for as long as nothing can have left the window.
"""

import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from gateway.limiters.base import Limiter, Rule, Verdict
from gateway.windows import MAX_REFUSED, Refused, SlidingWindows
from handlers.stores.lua.script import LuaScript, open_redis, read_script
from registry.runtime.batches import Batches, Unanswered

MOST = 128
"""Requests counted in one run of the script."""


class RedisLimiter:
    """`clock` is for tests: without one, Redis' own time counts."""

    def __init__(
        self, script: LuaScript, clock: Callable[[], float] | None = None, *, remembers: int = MAX_REFUSED
    ) -> None:
        self._script = script
        self._clock = clock
        self._now = clock or time.monotonic
        self._refused = Refused(remembers)
        # One slot of a Redis Cluster, because one run counts against many windows.
        self._prefix = f"quaymaster:{script.sha[:8]}:{{limits}}:"
        self._name = uuid4().hex.encode()
        self._batches: Batches[Sequence[Rule], Any] = Batches(self._send, most=MOST)
        self._alone = SlidingWindows()
        self._gateways = 1

    async def hit(self, rules: Sequence[Rule]) -> Verdict | None:
        if not rules:
            return None
        now = self._now()
        if self._refused and (known := self._refused.verdict(rules, now)) is not None:
            return known
        try:
            self._script.expect_answer()
            place, *numbers = await self._batches.call(rules)
        except Unanswered:
            alone = self._alone.hit([self._share(rule) for rule in rules], time.monotonic())
            return None if alone is None else alone._replace(degraded=True)
        verdict = Verdict(rules[place - 1], *numbers)
        if not verdict.allowed:
            self._refused.remember(verdict, now)
        return verdict

    def _share(self, rule: Rule) -> Rule:
        return Rule(rule.key, math.ceil(rule.limit / self._gateways), rule.window_s, rule.name)

    async def _send(self, calls: Sequence[Sequence[Rule]]) -> Sequence[Any]:
        keys = [f"{self._prefix}gateways".encode()]
        places: dict[tuple[str, float], int] = {}
        asked = [[(self._place(rule, keys, places), rule.limit, rule.window_s) for rule in c] for c in calls]
        now = b"" if self._clock is None else repr(self._clock()).encode()
        said = await self._script.run(keys, (now, self._name, orjson.dumps(asked)))
        self._gateways, answers = orjson.loads(said)
        assert isinstance(answers, list)
        return answers

    def _place(self, rule: Rule, keys: list[bytes], places: dict[tuple[str, float], int]) -> int:
        """Where the rule's window stands among the keys, from 1 on as Lua counts."""
        place = places.get(rule.counted_under)
        if place is None:
            # What is no text names nobody.
            keys.append(f"{self._prefix}{rule.window_s}:{rule.key}".encode(errors="backslashreplace"))
            place = places[rule.counted_under] = len(keys)
        return place

    async def close(self) -> None:
        await self._batches.close()
        await self._script.close()

    def __repr__(self) -> str:
        return f"<RedisLimiter: {self._gateways} gateways, {self._batches!r}>"


@asynccontextmanager
async def open_limiter(url: str) -> AsyncIterator[Limiter]:
    """Opens also while Redis is away. Raises `ValueError` for a URL that is none of Redis."""
    async with open_redis(url) as redis:
        limiter = RedisLimiter(LuaScript(redis, read_script(Path(__file__).parent / "lua", "windows")))
        try:
            yield limiter
        finally:
            await limiter.close()
