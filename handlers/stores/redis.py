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
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import orjson
import structlog

from handlers.decisions import KEPT
from handlers.ledger import REPEATS_LOOKED_AT
from handlers.lineup import DOUBTERS, SUSPECT_AFTER
from handlers.model import (
    Admin,
    Candidate,
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
    ReportRefusal,
    ReportRefused,
    Seat,
    SeatRefusal,
    SeatRefused,
    SeatRequest,
    Uid,
)
from handlers.placement import CANDIDATES, ONE_MORE
from handlers.roster import FORGET_AFTER_S
from handlers.seat_life import COUNTED, LATE
from handlers.stores.base import Store, StoreUnreachable
from handlers.stores.lua.script import LuaScript, open_redis, read_script
from handlers.throttle import MEAN, SLOWEST, burst_s, longest_wait_s
from handlers.turns import RETRY_WHEN_FULL_S
from registry.runtime.batches import Batches, Unanswered

log = structlog.get_logger()

PARTS = ("pool", "handlers", "throttle", "seats", "clients", "processes", "operators", "run")
"""The files that make the script, in order."""
KEYS = (
    "seats", "users", "places", "holds", "tickets",
    "handlers", "order", "full", "silence", "meta", "lost", "decisions", "parked", "starts", "slots",
)  # fmt: skip
VOUCHED_S = 60.0
"""What no gateway's registry has listed for so long is listed no more. Each tells its view thrice in it."""
MOST = 64
"""Calls in one run: the others wait for it, so it must be short (two milliseconds)."""


def script_text() -> str:
    return read_script(Path(__file__).parent / "lua", *PARTS)


class RedisStore:
    """One pool. `clock` is for tests: without one, Redis' own time counts."""

    def __init__(self, pool: PoolSettings, script: LuaScript, clock: Callable[[], float] | None) -> None:
        self._pool = pool
        self._script = script
        self._clock = clock
        self._limits = _limits(pool)
        self._keys = [f"quaymaster:{script.sha[:8]}:{{{pool.name}}}:{key}" for key in KEYS]
        self._batches: Batches[bytes, Any] = Batches(self._send, most=MOST)
        self._monotonic = clock or time.monotonic
        self._index = -1
        self._listed: set[str] = set()
        self._gone: set[str] = set()
        """Listed before and no more, and Redis does not know it yet."""
        self._counts = dict.fromkeys((*COUNTED.values(), LATE), 0)
        self._view: bytes | None = None
        """The registry's last view, to be told again."""
        self._told_at = 0.0

    async def sync(self, index: int, handlers: Iterable[Known]) -> None:
        # An index counts what one gateway has seen, so it says nothing of what others have.
        if index <= self._index:
            return
        known = [_known(handler) for handler in handlers]
        listed = {handler["id"] for handler in known}
        self._gone = (self._gone | self._listed) - listed
        # From now on this is what may have to be told again, also if it does not get through at once.
        self._listed, self._view = listed, _call("sync", known, ())
        told = set(self._gone)
        await self._ask(_call("sync", known, sorted(told)))
        self._gone -= told
        self._index, self._told_at = index, self._monotonic()

    async def alloc(self, request: SeatRequest) -> Seat | SeatRefused:
        try:
            answer = await self._ask(_call("alloc", *_wanted(request)))
        except asyncio.CancelledError:
            # The seat may be reserved by now, or be so in a moment: this call comes after that one.
            self._batches.post(_call("cancel", request.jti))
            raise
        return self._seat(request, answer)

    async def batch_alloc(self, requests: Sequence[SeatRequest]) -> tuple[Seat | SeatRefused, ...]:
        try:
            answers = await self._ask(_call("batch_alloc", list(map(_wanted, requests))))
        except asyncio.CancelledError:
            for request in requests:
                self._batches.post(_call("cancel", request.jti))
            raise
        return tuple(map(self._seat, requests, answers))

    async def cancel(self, jti: Jti) -> bool:
        return bool(await self._ask(_call("cancel", jti)))

    async def hello(self, hello: Hello) -> ReportRefused | None:
        message = {
            "id": hello.id,
            "epoch": hello.epoch,
            "url": hello.url,
            "path": hello.path,
            "capacity": hello.capacity,
            "weight": hello.weight,
            "known": hello.known,
            "connections": hello.connections,
        }
        return _refused(await self._ask(_call("hello", message)))

    async def report(self, report: Report) -> DrainOrder | ReportRefused | None:
        message = {
            "id": report.id,
            "epoch": report.epoch,
            "seq": report.seq,
            "connections": report.connections,
            "confirmed": report.confirmed,
            "closed": report.closed,
            "leaving": report.leaving,
        }
        answer = await self._ask(_call("report", message))
        return _order(answer) if isinstance(answer, list) else _refused(answer)

    async def admit_late(self, handler: HandlerId, epoch: Epoch, jti: Jti) -> bool:
        return bool(await self._ask(_call("admit_late", handler, epoch, jti)))

    async def locate(self, uid: Uid) -> Located | None:
        answer = await self._ask(_call("locate", uid))
        if answer is None:
            return None
        handler, epoch, url, connected = answer
        return Located(uid, HandlerId(handler), int(epoch), url, connected)

    async def drain(self, handler: HandlerId, order: DrainOrder | None) -> bool:
        wanted = order is not None and (order.remaining_s, order.rate or False)
        return bool(await self._ask(_call("drain", handler, wanted)))

    async def sweep(self) -> int:
        if self._view is not None and self._monotonic() - self._told_at >= VOUCHED_S / 3:
            self._batches.post(self._view)
            self._told_at = self._monotonic()
        return int(await self._ask(_call("sweep")))

    async def decision(self, sequence: int) -> Decision | None:
        answer = await self._ask(_call("decision", sequence % KEPT))
        decision = None if answer is None else _decision(answer)
        return decision if decision is not None and decision.sequence == sequence else None

    def counts(self) -> Mapping[str, int]:
        return self._counts

    async def states(self) -> tuple[HandlerState, ...]:
        return tuple(sorted(map(_state, await self._ask(_call("states"))), key=lambda state: state.id))

    async def close(self) -> None:
        await self._batches.close()

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
        has_view, answers, settled = orjson.loads(said)
        for what, count in settled.items():
            self._counts[what] += count
        if not has_view and self._view is not None:
            self._batches.post(self._view)
        assert isinstance(answers, list)
        return answers

    def _seat(self, request: SeatRequest, answer: Sequence[Any]) -> Seat | SeatRefused:
        if answer[0] != "seat":
            return _seat_refused(*answer)
        _, jti, (handler, epoch, url, path), at, now, load, sequence = answer
        guaranteed_s, hold_s, ticket_s = self._pool.times(moving=request.moving)
        return Seat(
            Jti(jti),
            request.uid,
            HandlerId(handler),
            int(epoch),
            url,
            path,
            guaranteed_until=at + guaranteed_s,
            held_until=at + hold_s,
            ticket_until=at + ticket_s,
            now=float(now),
            load=load,
            sequence=sequence,
        )

    def __repr__(self) -> str:
        return f"<RedisStore {self._pool.name}: {self._batches!r}>"


def _limits(pool: PoolSettings) -> bytes:
    _, moving_hold_s, moving_ticket_s = pool.times(moving=True)
    return orjson.dumps(
        {
            "capacity": pool.capacity,
            "hold_s": pool.hold_s,
            "ticket_s": pool.ticket_s,
            "moving_hold_s": moving_hold_s,
            "moving_ticket_s": moving_ticket_s,
            "drain_s": pool.drain_s,
            "joins_per_s": pool.joins_per_s,
            "burst_s": burst_s(pool),
            "slow_start_s": pool.slow_start_s,
            "slowest": SLOWEST,
            "mean": MEAN,
            "longest_wait_s": longest_wait_s(pool),
            "horizon_s": pool.horizon_s,
            "doubters": DOUBTERS,
            "suspect_after_s": SUSPECT_AFTER * pool.dead_after_s,
            "affinity": pool.affinity,
            "one_more": ONE_MORE,
            "candidates": CANDIDATES,
            "decisions_kept": KEPT,
            "repeats_looked_at": REPEATS_LOOKED_AT,
            "dead_after_s": pool.dead_after_s,
            "seats_per_user": pool.seats_per_user,
            "forget_after_s": FORGET_AFTER_S,
            "retry_when_full_s": RETRY_WHEN_FULL_S,
            "vouched_s": VOUCHED_S,
        }
    )


def _call(operation: str, *arguments: Any) -> bytes:
    try:
        return orjson.dumps((operation, *arguments))
    except TypeError:
        # A header's bytes that are no UTF-8 name nobody, and must not spoil the batch.
        return json.dumps((operation, *arguments), ensure_ascii=False).encode(errors="replace")


def _wanted(request: SeatRequest) -> tuple[Any, ...]:
    uid, jti, client_id, last, exclude, slot, moving = request
    return jti, uid, client_id or False, last or False, tuple(exclude), slot or False, moving


def _known(known: Known) -> dict[str, Any]:
    return {
        "id": known.id,
        "url": known.url,
        "path": known.path,
        "capacity": known.capacity or False,
        "weight": known.weight,
        "healthy": known.healthy,
        "draining": known.draining,
        "speaks": known.speaks,
    }


def _refused(answer: str | None) -> ReportRefused | None:
    return None if answer is None else ReportRefused(ReportRefusal(answer))


def _seat_refused(
    reason: str, wait_s: str, slot: str | Literal[False] = False, now: str = "0"
) -> SeatRefused:
    return SeatRefused(SeatRefusal(reason), float(wait_s), float(slot) if slot else None, float(now))


def _order(answer: Sequence[Any]) -> DrainOrder:
    remaining_s, rate = answer
    return DrainOrder(float(remaining_s), float(rate) if rate else None)


def _decision(answer: Sequence[Any]) -> Decision:
    sequence, at, uid, chosen, last, excluded, ranks = answer
    exclude = set(excluded.split("\1")) - {""}
    told = dict.fromkeys(rank for rank in map(_candidate, ranks.split("\1")) if rank.handler not in exclude)
    head = list(told)[:CANDIDATES]
    candidates = (*head, *(rank for rank in told if rank.handler == last and rank not in head))
    return Decision(
        sequence=int(sequence),
        at=float(at),
        uid=Uid(uid),
        chosen=HandlerId(chosen),
        why="least_loaded" if chosen == candidates[0].handler else "affinity",
        candidates=candidates,
        excluded=tuple(sorted(map(HandlerId, exclude))),
        last=HandlerId(last) if last else None,
    )


def _candidate(rank: str) -> Candidate:
    """As it stands in the order: number of the last allocation, id, byte 0, load, weight."""
    name, _, place = rank.partition("\0")
    load, weight = place.split(" ")
    return Candidate(HandlerId(name[16:]), int(load), int(weight), int(name[:16]))


def _state(answer: Sequence[Any]) -> HandlerState:
    name, url, path, weight, epoch, capacity, connections, held, drained, drain, why_not, *seconds = answer
    age, joins, joins_per_s = seconds
    return HandlerState(
        id=HandlerId(name),
        url=url,
        epoch=int(epoch),
        capacity=capacity,
        connections=connections,
        held=held,
        admin=Admin.DRAINING if drained else Admin.UP,
        eligible=why_not == "",
        why_not=why_not,
        last_report_age_s=float(age) if age else None,
        path=path,
        weight=weight,
        drain=_order(drain) if drain else None,
        tokens=float(joins),
        joins_per_s=float(joins_per_s),
    )


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
