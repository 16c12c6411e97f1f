"""What goes to the script and what comes from it: JSON, made of words as Lua likes them.

There a `null` is no `nil`, so what is absent is `false`; and numbers that must not lose a digit come as text.
"""

import json
import math
from collections.abc import Sequence
from typing import Any, Literal

import orjson

from handlers.decisions import KEPT
from handlers.ledger import REPEATS_LOOKED_AT
from handlers.lineup import DOUBTERS, SUSPECT_AFTER
from handlers.model import (
    Admin,
    Candidate,
    Decision,
    DrainOrder,
    HandlerId,
    HandlerState,
    Hello,
    Jti,
    Known,
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
from handlers.throttle import MEAN, SLOWEST, burst_s, longest_wait_s
from handlers.turns import RETRY_WHEN_FULL_S

VOUCHED_S = 60.0
"""What no gateway's registry has listed for so long is listed no more. Each tells its view thrice in it."""


def limits(pool: PoolSettings) -> bytes:
    """What a run of the script must know of its pool."""
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


def call(operation: str, *arguments: Any) -> bytes:
    """One call of a batch."""
    try:
        return orjson.dumps((operation, *arguments))
    except TypeError:
        # A header's bytes that are no UTF-8 name nobody, and must not spoil the batch.
        return json.dumps((operation, *arguments), ensure_ascii=False).encode(errors="replace")


def wanted(request: SeatRequest) -> tuple[Any, ...]:
    """The arguments of `alloc`."""
    uid, jti, client_id, last, exclude, slot, moving = request
    kept = slot is not None and math.isfinite(slot) and slot
    return jti, uid, client_id or False, last or False, tuple(exclude), kept, moving


def known_handler(known: Known) -> dict[str, Any]:
    """What the registry says of a handler."""
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


def refused(answer: str | None) -> ReportRefused | None:
    """Why a hello or report was refused."""
    return None if answer is None else ReportRefused(ReportRefusal(answer))


def refused_seat(reason: str, wait_s: str, slot: str | Literal[False] = False, now: str = "0") -> SeatRefused:
    """Why there is no seat."""
    return SeatRefused(SeatRefusal(reason), float(wait_s), float(slot) if slot else None, float(now))


def drain_order(answer: Sequence[Any]) -> DrainOrder:
    """What a report is answered with while its handler drains."""
    remaining_s, rate = answer
    return DrainOrder(float(remaining_s), float(rate) if rate else None)


def decision(answer: Sequence[Any]) -> Decision:
    """A choice as it was recorded, in words."""
    sequence, at, uid, chosen, last, excluded, ranks = answer
    exclude = set(excluded.split("\1")) if excluded else set()
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


def state(answer: Sequence[Any]) -> HandlerState:
    """One handler as the store sees it."""
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
        drain=drain_order(drain) if drain else None,
        tokens=float(joins),
        joins_per_s=float(joins_per_s),
    )


def seat(pool: PoolSettings, request: SeatRequest, answer: Sequence[Any]) -> Seat | SeatRefused:
    """A seat, or why there is none."""
    if answer[0] != "seat":
        return refused_seat(*answer)
    _, jti, (handler, epoch, url, path), at, now, load, sequence = answer
    guaranteed_s, hold_s, ticket_s = pool.times(moving=request.moving)
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


def hello(said: Hello) -> dict[str, Any]:
    """A hello as the script takes it."""
    return {
        "id": said.id,
        "epoch": said.epoch,
        "url": said.url,
        "path": said.path,
        "capacity": said.capacity,
        "weight": said.weight,
        "known": said.known,
        "connections": said.connections,
    }


def report(said: Report) -> dict[str, Any]:
    """A report as the script takes it."""
    return {
        "id": said.id,
        "epoch": said.epoch,
        "seq": said.seq,
        "connections": said.connections,
        "confirmed": said.confirmed,
        "closed": said.closed,
        "leaving": said.leaving,
    }
