"""Seats in a Redis that all gateways share: `handlers/ledger.py` as a script that runs there.

Everything a pool keeps is in the few keys of `KEYS`, in one slot of a Redis Cluster. Their prefix names the
script's text, so two versions of it never work on the same data: while gateways are replaced by newer
ones, each kind has seats of its own, which handlers rebuild within a report as after a lost Redis.

Calls go in batches, one run of the script each, in the order in which they were made here. What is lost with
a Redis that restarts comes back by itself: handlers that are not known say hello again, and the registry's
view is told again by whoever has one. Seats that nobody has used yet are late ones then (`admit_late`),
and a drain has to be ordered again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import structlog

from handlers.decisions import KEPT
from handlers.model import (
    Decision,
    DrainOrder,
    Epoch,
    HandlerId,
    HandlerState,
    Hello,
    Jti,
    Known,
    Located,
    PoolSettings,
    Report,
    ReportRefused,
    Seat,
    SeatRefused,
    SeatRequest,
    Uid,
)
from handlers.seat_life import COUNTED, LATE
from handlers.stores.base import Store, StoreUnreachable
from handlers.stores.lua import wire
from handlers.stores.lua.script import LuaScript, open_redis, read_script
from registry.runtime.batches import Batches, Unanswered

log = structlog.get_logger()

PARTS = ("pool", "handlers", "throttle", "seats", "clients", "processes", "operators", "run")
"""The files that make the script, in order."""
KEYS = (
    "seats", "users", "places", "holds", "tickets",
    "handlers", "order", "full", "silence", "meta", "lost", "decisions", "parked", "starts", "slots",
)  # fmt: skip
SYNC = wire.call("sync")[:-1]
"""How a call of that kind begins."""
MOST = 64
"""Calls in one run: the others wait for it, so it must be short (two milliseconds)."""

PORTION = 50
"""Handlers told of in one run, or vouched for: as short."""


def script_text() -> str:
    return read_script(Path(__file__).parent / "lua", *PARTS)


class RedisStore:
    """One pool. `clock` is for tests: without one, Redis' own time counts."""

    def __init__(self, pool: PoolSettings, script: LuaScript, clock: Callable[[], float] | None) -> None:
        self._pool = pool
        self._script = script
        self._clock = clock
        self._limits = wire.limits(pool)
        self._keys = [f"quaymaster:{script.sha[:8]}:{{{pool.name}}}:{key}".encode() for key in KEYS]
        self._batches: Batches[bytes, Any] = Batches(self._send, most=MOST)
        self._monotonic = clock or time.monotonic
        self._index = -1
        self._listed: set[str] = set()
        self._gone: set[str] = set()
        """Listed before and no more, and Redis does not know it yet."""
        self._counts = dict.fromkeys((*COUNTED.values(), LATE), 0)
        self._known: list[dict[str, Any]] | None = None
        """The registry's last view, to be told again."""
        self._heard_at = self._vouched_at = 0.0
        self._told_to: str | None = None
        """The memory of Redis that has been told of it: when that began, in its words."""

    async def sync(self, index: int, handlers: Iterable[Known]) -> None:
        # An index counts what one gateway has seen, so it says nothing of what others have.
        if index <= self._index:
            return
        known = [wire.known_handler(handler) for handler in handlers]
        listed = {handler["id"] for handler in known}
        self._gone = (self._gone | self._listed) - listed
        # From now on this is what may have to be told again, also if it does not get through at once.
        self._listed, self._known, self._told_to = listed, known, None
        self._heard_at = self._monotonic()
        told = set(self._gone)
        await self._ask(self._view(known, 0.0))
        self._gone -= told
        self._index, self._vouched_at = index, self._monotonic()

    async def alloc(self, request: SeatRequest) -> Seat | SeatRefused:
        try:
            answer = await self._ask(wire.call("alloc", *wire.wanted(request)))
        except asyncio.CancelledError:
            # The seat may be reserved by now, or be so in a moment: this call comes after that one.
            self._batches.post(wire.call("cancel", request.jti))
            raise
        return wire.seat(self._pool, request, answer)

    async def batch_alloc(self, requests: Sequence[SeatRequest]) -> tuple[Seat | SeatRefused, ...]:
        try:
            answers = await self._ask(wire.call("batch_alloc", list(map(wire.wanted, requests))))
        except asyncio.CancelledError:
            for request in requests:
                self._batches.post(wire.call("cancel", request.jti))
            raise
        return tuple(wire.seat(self._pool, *pair) for pair in zip(requests, answers, strict=True))

    async def cancel(self, jti: Jti) -> bool:
        return bool(await self._ask(wire.call("cancel", jti)))

    async def hello(self, hello: Hello) -> ReportRefused | None:
        return wire.refused(await self._ask(wire.call("hello", wire.hello(hello))))

    async def report(self, report: Report) -> DrainOrder | ReportRefused | None:
        answer = await self._ask(wire.call("report", wire.report(report)))
        return wire.drain_order(answer) if isinstance(answer, list) else wire.refused(answer)

    async def admit_late(self, handler: HandlerId, epoch: Epoch, jti: Jti) -> bool:
        return bool(await self._ask(wire.call("admit_late", handler, epoch, jti)))

    async def locate(self, uid: Uid) -> Located | None:
        answer = await self._ask(wire.call("locate", uid))
        if answer is None:
            return None
        handler, epoch, url, connected = answer
        return Located(uid, HandlerId(handler), int(epoch), url, connected)

    async def seated(self, handler: HandlerId, uids: Collection[Uid]) -> frozenset[Uid]:
        asked = list(uids)
        found = await self._ask(wire.call("seated", handler, asked))
        return frozenset(uid for uid, sits in zip(asked, found, strict=True) if sits)

    async def drain(self, handler: HandlerId, order: DrainOrder | None) -> bool:
        wanted = order is not None and (order.remaining_s, order.rate or False)
        return bool(await self._ask(wire.call("drain", handler, wanted)))

    async def sweep(self) -> int:
        now = self._monotonic()
        if self._listed and now - self._vouched_at >= wire.VOUCHED_S / 3:
            # Not the view: it may be old, since nobody says that the registry has fallen silent.
            for portion in _portions(sorted(self._listed)):
                await self._ask(wire.call("vouch", portion))
            self._vouched_at = now
        return int(await self._ask(wire.call("sweep")))

    async def decision(self, sequence: int) -> Decision | None:
        answer = await self._ask(wire.call("decision", sequence % KEPT))
        decision = None if answer is None else wire.decision(answer)
        return decision if decision is not None and decision.sequence == sequence else None

    def counts(self) -> Mapping[str, int]:
        return self._counts

    async def states(self) -> tuple[HandlerState, ...]:
        # In runs of their own, so that no caller waits for all of a large pool.
        ids = sorted(await self._ask(wire.call("ids")))
        states: list[HandlerState] = []
        for portion in _portions(ids):
            states.extend(map(wire.state, await self._ask(wire.call("states", portion))))
        return tuple(states)

    async def close(self) -> None:
        await self._batches.close()
        await self._script.close()

    async def _ask(self, call: bytes) -> Any:
        try:
            self._script.expect_answer()
            answer = await self._batches.call(call)
        except Unanswered as error:
            raise StoreUnreachable(str(error)) from error
        if isinstance(answer, dict):
            raise StoreUnreachable(f"Redis: {answer['error']}")
        return answer

    async def _send(self, calls: Sequence[bytes]) -> Sequence[Any]:
        now = b"" if self._clock is None else repr(self._clock()).encode()
        said = await self._script.run(self._keys, (self._limits, now, b"[%b]" % b",".join(calls)))
        memory, answers, settled = orjson.loads(said)
        for what, count in settled.items():
            self._counts[what] += count
        if memory != self._told_to and self._known is not None:
            if memory and any(call.startswith(SYNC) for call in calls):
                self._told_to = memory
            else:
                self._batches.post(self._view(self._known, self._monotonic() - self._heard_at))
        assert isinstance(answers, list)
        return answers

    def _view(self, known: Sequence[dict[str, Any]], age_s: float) -> bytes:
        """What the registry has said, so long ago: what another gateway has heard since goes before it."""
        return wire.call("sync", known, sorted(self._gone), age_s)

    def __repr__(self) -> str:
        return f"<RedisStore {self._pool.name}: {self._batches!r}>"


def _portions(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + PORTION] for start in range(0, len(ids), PORTION))


@asynccontextmanager
async def open_store(
    pool: PoolSettings, url: str, *, clock: Callable[[], float] | None = None
) -> AsyncIterator[Store]:
    """Opens also while Redis is away, and says so. Raises `ValueError` for a URL that is none of Redis."""
    async with open_redis(url) as redis:
        store = RedisStore(pool, LuaScript(redis, script_text()), clock)
        try:
            try:
                await store.states()
            except StoreUnreachable as error:
                log.warning("store_unreachable", setting="store.url", pool=pool.name, detail=str(error))
            yield store
        finally:
            await store.close()
