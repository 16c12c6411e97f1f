"""What happens to the fleet, act by act, and what must be true of each."""

import time
from collections.abc import Callable

from bench.calls import call
from bench.fleet.figures import Act
from bench.fleet.stage import Stage, eligible_nowhere, states
from handlers.model import PoolSettings

LOOK_S = 0.2
PATIENCE_S = 180.0
"""For anything that must come true at all."""
DEAD_AFTER_S = PoolSettings().dead_after_s
SETTLE_S = 2.0
"""Two reports."""


class NeverCameTrue(Exception):
    """An act can't be gone on with. The text says what was waited for, and how things were."""


def wait_until(true: Callable[[], bool], what: str, on: Stage, patience_s: float = PATIENCE_S) -> float:
    """Seconds until it was true. Raises `NeverCameTrue`."""
    started = time.monotonic()
    while not true():
        if time.monotonic() - started > patience_s:
            raise NeverCameTrue(f"{what}: not within {patience_s:g} s; {on.look()}, handlers {on.counts()}")
        time.sleep(LOOK_S)
    return time.monotonic() - started


def ramp(on: Stage, per_s: float) -> Act:
    """Everybody comes, at that pace."""
    act = Act(f"{on.cast.clients:,} clients come to {len(on.handlers)} handlers")
    share = on.cast.clients // len(on.crowds)
    for number, crowd in enumerate(on.crowds):
        extra = on.cast.clients - share * len(on.crowds) if number == 0 else 0
        crowd.do("come", count=share + extra, per_s=per_s / len(on.crowds))
    took_s = wait_until(on.everybody, "everybody is connected", on)
    counts = on.counts().values()
    act.known("until everybody was connected", took_s, is_time=True)
    act.known("times a gateway did not wait for Redis any longer", on.estimated())
    act.at_most("the most connections of a handler less the fewest", max(counts) - min(counts), 1)
    act.at_most("the most connections a handler ever had", on.most(), on.cast.capacity)
    return act


def kill(on: Stage) -> Act:
    """`kill -9`, and nobody is told."""
    victim = max(on.living, key=lambda handler: handler.shown()["now"])
    before, clients = on.look(), victim.shown()["now"]
    act = Act(f"kill -9 of {victim.id}")
    killed_at = time.monotonic()
    known_s = 0.0
    victim.kill()

    def known() -> bool:
        nonlocal known_s
        if not known_s and eligible_nowhere(on, victim.id):
            known_s = time.monotonic() - killed_at
        return known_s > 0

    took_s = wait_until(lambda: known() and on.everybody(), f"the clients of {victim.id} are elsewhere", on)
    counts, after = on.counts().values(), on.look()
    act.exactly("its clients, each of which lost one connection", after["losses"] - before["losses"], clients)
    act.at_most("until no gateway handed it out", known_s, DEAD_AFTER_S + LOOK_S, is_time=True)
    act.known("until that was so, and all of them were elsewhere", took_s, is_time=True)
    act.known("the most connections of a handler less the fewest", max(counts) - min(counts))
    act.at_most("the most connections a handler ever had", on.most(), on.cast.capacity)
    _nothing_lost(act, on, before)
    return act


def drain(on: Stage, deadline_s: float) -> Act:
    """As before a deploy: its clients are to go elsewhere without noticing."""
    victim = max(on.living, key=lambda handler: handler.shown()["now"])
    before, clients = on.look(), victim.shown()["now"]
    act = Act(f"drain of {victim.id} within {deadline_s:g} s")
    path = f"/admin/handlers/{victim.id}/drain"
    call(on.gateways[0], "POST", path, {"deadline_s": deadline_s})
    fewest = on.cast.clients

    def empty() -> bool:
        nonlocal fewest
        fewest = min(fewest, on.look()["connected"])
        return victim.shown()["now"] == 0

    took_s = wait_until(empty, f"{victim.id} is empty", on)
    wait_until(on.everybody, "everybody is connected", on)
    after, told = on.look(), call(on.gateways[-1], "GET", f"{path}?wait=3")
    act.exactly("its clients, each of which moved once", after["moves"] - before["moves"], clients)
    act.exactly("connections lost with no other in their place", after["losses"] - before["losses"], 0)
    act.exactly("clients without a live socket at any look", on.cast.clients - fewest, 0)
    act.exactly("clients and seats there, as another gateway tells", told["remaining"], 0)
    act.at_most("until it was empty", took_s, deadline_s, is_time=True)
    act.at_most("the most connections a handler ever had", on.most(), on.cast.capacity)
    _nothing_lost(act, on, before)
    return act


def redis_away(on: Stage, away_s: float, per_s: float) -> Act:
    """Redis hangs (it keeps its connections and says nothing) while clients leave and come."""
    act = Act(f"Redis hangs for {away_s:g} s while {per_s:g} clients a second leave and come")
    before, errors, estimated = on.look(), on.server_errors(), on.estimated()
    on.tell_all("churn", per_s=per_s / len(on.crowds))
    time.sleep(SETTLE_S)
    on.redis.pause()
    try:
        time.sleep(away_s)
    finally:
        on.redis.resume()
    on.tell_all("churn", per_s=0)
    took_s = wait_until(lambda: exact(on), "the counts in Redis are those of the handlers", on)
    wait_until(on.everybody, "everybody is connected", on)
    act.exactly("answers 5xx to who asked for a handler", on.server_errors() - errors, 0)
    act.known("times a gateway did not wait for Redis any longer", on.estimated() - estimated)
    act.at_most("until all counts were exact again", took_s, SETTLE_S, is_time=True)
    act.at_most("the most connections a handler ever had", on.most(), on.cast.capacity)
    _nothing_lost(act, on, before)
    return act


def exact(on: Stage) -> bool:
    """Whether every gateway has of every living handler the count that it has itself."""
    counts = on.counts()
    seen = [{state["id"]: state["connections"] for state in states(gateway)} for gateway in on.gateways]
    return all(view.get(name) == count for view in seen for name, count in counts.items())


def last_words(on: Stage) -> Act:
    """Nobody says anything new: what has been said must all have been answered."""
    act = Act("What the clients have said, each number once the one before was answered")
    on.tell_all("hush")
    wait_until(lambda: on.look()["unanswered"] == 0, "everything is answered", on)
    seen = on.look()
    act.known("answered", seen["heard"])
    act.known("said again after a move or a loss", seen["again"])
    act.exactly("lost", seen["unanswered"] + seen["skipped"], 0)
    act.exactly("doubled", seen["doubled"], 0)
    act.exactly("clients that gave up", seen["stopped"], 0)
    return act


def _nothing_lost(act: Act, on: Stage, before: dict[str, int]) -> None:
    after = on.look()
    act.exactly("messages lost", after["skipped"] - before["skipped"], 0)
    act.exactly("messages doubled", after["doubled"] - before["doubled"], 0)
