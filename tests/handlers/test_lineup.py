from typing import Any

from handlers.lineup import Lineup
from handlers.model import HandlerId, Hello, Known, PoolSettings, Uid
from handlers.roster import HandlerRecord

POOL = PoolSettings(capacity=3, joins_per_s=2.0, joins_burst=1, dead_after_s=3.0, slow_start_s=0.0)
A, B = HandlerId("a"), HandlerId("b")
NOBODY: frozenset[HandlerId] = frozenset()


def lineup(*names: HandlerId, now: float = 0.0) -> Lineup:
    made = Lineup(POOL, lambda name: 0)
    for name in names:
        handler = HandlerRecord(name, f"http://{name}:1", "/ws", 3, 1)
        made.add(handler)
        handler.begin(Hello(name, 1, handler.url, "/ws", 3), now)
        made.heard(handler, now)
    return made


def choice(made: Lineup, **more: Any) -> HandlerId | None:
    return made.order.choose(more.get("exclude", NOBODY))


def test_who_has_no_token_left_is_parked_until_the_next() -> None:
    made = lineup(A, B)
    for name in (A, B):
        made.take_in(made[name], 0.0)
        made.place(made[name], 0.0)
        assert choice(made, exclude=frozenset({A} if name is B else {B})) is None
    assert made.some_parked(NOBODY)
    assert made.some_parked(frozenset({A}))
    assert not made.some_parked(frozenset({A, B}))
    assert not made.some_full(NOBODY)
    ready_at = made.ready_at()
    assert ready_at is not None
    assert made.joins_per_s(0.0) == 4.0
    made.settle(ready_at - 0.001)
    assert choice(made) is None
    made.settle(ready_at)
    assert choice(made) == A
    assert made.ready_at() is None


def test_reports_do_not_end_the_wait_for_a_token_and_a_new_process_does() -> None:
    made = lineup(A)
    made.take_in(made[A], 0.0)
    made.heard(made[A], 0.1)
    assert choice(made) is None
    made[A].begin(Hello(A, 2, "http://a:1", "/ws", 3), 0.2)
    made.heard(made[A], 0.2)
    assert choice(made) == A


def test_who_is_full_or_closed_waits_for_no_token() -> None:
    made = lineup(A, B)
    for name in (A, B):
        made.take_in(made[name], 0.0)
        made.place(made[name], 0.0)
    made[A].connections = 3
    made[B].leaving = True
    for name in (A, B):
        made.place(made[name], 0.0)
    assert not made.some_parked(NOBODY)
    assert made.some_full(NOBODY)
    assert not made.some_full(frozenset({A}))


def test_three_users_who_can_not_reach_it_make_one_reports_silence_enough() -> None:
    made = lineup(A)
    for uid in ("ann", "ann", "bob", "bob"):
        made.doubt((A, B), Uid(uid), 1.2)
    made.settle(1.26)
    assert choice(made) == A
    made.doubt((A,), Uid("eve"), 1.26)
    assert made[A].silent
    assert choice(made) is None
    made.heard(made[A], 1.3)  # one word from it, and nobody's doubts count
    made.doubt((A,), Uid("ann"), 4.0)
    assert choice(made) == A
    made.settle(4.3)
    assert made[A].silent


def test_a_suspect_that_reports_in_time_stays() -> None:
    made = lineup(A)
    for uid in ("ann", "bob", "eve", "joe"):
        made.doubt((A,), Uid(uid), 0.5)
    made.settle(1.2)
    assert choice(made) == A
    made.heard(made[A], 1.2)
    made.settle(4.1)
    assert choice(made) == A
    for uid in ("ann", "bob", "eve"):
        made.doubt((A,), Uid(uid), 4.1)
    assert made[A].silent  # it is too late already


def test_who_never_spoke_can_not_be_doubted() -> None:
    made = Lineup(POOL, lambda name: 0)
    made.sync([Known(A, "http://a:1")], 0.0)
    for uid in ("ann", "bob", "eve"):
        made.doubt((A,), Uid(uid), 10.0)
    made.settle(20.0)
    assert choice(made) == A
    assert (len(made), [handler.id for handler in made]) == (1, [A])


def test_whom_the_registry_lists_no_more_is_out() -> None:
    made = lineup(A)
    made.sync([Known(A, "http://a:1"), Known(B, "http://b:1")], 0.0)
    made.sync([Known(B, "http://b:1")], 0.0)
    assert choice(made) == B
    assert made.remove(B)
    assert not made.remove(B)
    assert choice(made) is None
    assert repr(made) == "<Order: 0 with room: >"


def test_operators_see_how_many_it_takes_in() -> None:
    made = lineup(A)
    made.take_in(made[A], 0.0)
    seen = made.seen(made[A], 0.25)
    assert 0.4 < seen.tokens < 0.6
    assert seen.joins_per_s == 2.0
