"""Counts requests in a Redis that all gateways share, so that a limit holds for all of them together.

Redis' own time counts. While Redis does not answer, each gateway counts for itself and allows its share: the
limit divided by the number of gateways that were there last.

Who was refused is refused again here, without asking, for as long as nothing can have left the window.
"""

import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import orjson

from gateway.limiters.base import Limiter, Rule, Verdict
from gateway.windows import MAX_REFUSED, Refused, SlidingWindows
from handlers.stores.lua.script import LuaScript, open_redis, read_script
from registry.runtime.batches import Batches, Unanswered

MOST = 128
"""Requests counted in one run of the script."""
PER_ANSWER = 5
"""What the script says of each: the tightest rule and its numbers."""
REMEMBERED_KEYS = 4096


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
        self._present = f"{self._prefix}gateways".encode()
        self._key_of = lru_cache(REMEMBERED_KEYS)(self._make_key)
        self._batches: Batches[Sequence[Rule], Verdict] = Batches(self._send, most=MOST)
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
            verdict = await self._batches.call(rules)
        except Unanswered:
            alone = self._alone.hit([self._share(rule) for rule in rules], time.monotonic())
            return None if alone is None else alone._replace(degraded=True)
        if not verdict.allowed:
            self._refused.remember(verdict, now)
        return verdict

    def refusal(self, rules: Sequence[Rule]) -> Verdict | None:
        return self._refused.verdict(rules, self._now())

    def _share(self, rule: Rule) -> Rule:
        return Rule(rule.key, math.ceil(rule.limit / self._gateways), rule.window_s, rule.name)

    async def _send(self, calls: Sequence[Sequence[Rule]]) -> Sequence[Verdict]:
        keys, places = [self._present], dict[bytes, int]()
        lists, numbers = list[list[float]](), dict[int, int]()
        asked = []
        for rules in calls:
            # Whoever keeps its connection brings the same list again.
            number = numbers.get(id(rules))
            if number is None:
                lists.append(self._list_of(rules, keys, places))
                number = numbers[id(rules)] = len(lists)
            asked.append(number)
        now = b"" if self._clock is None else repr(self._clock()).encode()
        said = await self._script.run(keys, (now, self._name, orjson.dumps((lists, asked))))
        self._gateways, found = orjson.loads(said)
        assert isinstance(found, list)
        return [
            Verdict(rules[int(found[at])], *found[at + 1 : at + PER_ANSWER])
            for rules, at in zip(calls, range(0, len(found), PER_ANSWER), strict=True)
        ]

    def _list_of(self, rules: Sequence[Rule], keys: list[bytes], places: dict[bytes, int]) -> list[float]:
        """The rules as the script reads them. Windows are named by their place among the keys, from 1 on as
        Lua counts."""
        numbers: list[float] = []
        for rule in rules:
            key = self._key_of(rule.counted_under)
            place = places.get(key)
            if place is None:
                keys.append(key)
                place = places[key] = len(keys)
            numbers += (place, rule.limit, rule.window_s)
        return numbers

    def _make_key(self, counted_under: tuple[str, float]) -> bytes:
        key, window_s = counted_under
        # What is no text names nobody.
        return f"{self._prefix}{window_s}:{key}".encode(errors="backslashreplace")

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
