import math
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from handlers.drain_pace import (
    FOLLOW_S,
    IDLE_S,
    MAX_MOVES,
    MAX_TRIES,
    MOVING_SHARE,
    TICK_S,
    DrainPace,
    first_to_go,
    nameable,
)

seconds = st.floats(0.1, 3600)
chance = st.integers(0, 2**32).map(random.Random)


def drained(
    clients: int, ends: float, *, rate: float | None = None, room_from: float = 0.0
) -> list[tuple[float, int]]:
    """When how many were moved, with room elsewhere from that time on. A drain that begins at 0."""
    pace, left, moves = DrainPace(0.0, ends, rate=rate, spread_s=5.0), clients, []
    for tick in range(int(ends / TICK_S)):
        now = tick * TICK_S
        share = pace.share(left, now)
        if share and now >= room_from:
            pace.moved(share)
            left -= share
            moves.append((now, share))
    return moves


def total(moves: list[tuple[float, int]]) -> int:
    return sum(count for _, count in moves)


# Who goes first


def test_the_idle_go_first_and_then_who_came_first() -> None:
    now = 100.0
    clients = [("busy and old", now), ("idle and old", now - IDLE_S), ("busy", now - 1), ("idle", 0.0)]
    assert first_to_go(clients, now, 3) == ["idle and old", "idle", "busy and old"]
    assert first_to_go(clients, now, 1) == ["idle and old"]
    assert first_to_go(clients, now, 0) == []
    assert len(first_to_go(clients, now, 9)) == 4


SESSION = "0123456789abcdef" * 2


@pytest.mark.parametrize("uid", ["a", "ada lovelace", "é", "x" * 255])
def test_who_can_be_named(uid: str) -> None:
    assert nameable(uid, SESSION)


@pytest.mark.parametrize(
    ("uid", "session_id"),
    [
        *(("", SESSION), ("x" * 256, SESSION), ("\ud800", SESSION), ("a\n", SESSION)),
        *(("a", ""), ("a", "s"), ("a", SESSION + "\n"), ("a", SESSION.upper()), ("a", SESSION[1:])),
    ],
)
def test_who_can_not_be_named(uid: str, session_id: str) -> None:
    assert not nameable(uid, session_id)


# How many


@pytest.mark.parametrize(("clients", "ends"), [(1, 30.0), (7, 30.0), (1000, 30.0), (10_000, 60.0), (50, 2.0)])
def test_with_room_elsewhere_all_are_moved_in_good_time(clients: int, ends: float) -> None:
    moves = drained(clients, ends)
    assert total(moves) == clients
    assert moves[-1][0] <= MOVING_SHARE * ends + TICK_S


def test_they_move_evenly() -> None:
    (_, first), *moves = drained(961, 30.0)
    assert first == 1  # at once
    assert {count for _, count in moves} <= {9, 10, 11}  # 960 in 24 s are 40 a second, in quarters of one
    assert [count for _, count in drained(3, 30.0)] == [1, 1, 1]


def test_a_rate_that_is_given_is_not_exceeded() -> None:
    (_, first), *moves = drained(1000, 30.0, rate=8.0)
    assert first == 1
    assert {count for _, count in moves} == {2}
    assert total(moves) <= 8 * 30


def test_after_a_time_without_room_it_catches_up() -> None:
    moves = drained(1000, 30.0, room_from=15.0)
    assert total(moves) == 1000
    assert max(count for _, count in moves[4:]) < MAX_MOVES / 4
    slowly = drained(1000, 30.0, room_from=15.0, rate=40.0)
    assert total(slowly) <= 40 * (15 + 1)


@given(st.integers(0, 20_000), seconds, st.none() | st.floats(0.0, 1000), st.lists(st.floats(0, 10)))
def test_it_never_asks_for_more_than_there_are(
    clients: int, ends: float, rate: float | None, pauses: list[float]
) -> None:
    pace, now, asked = DrainPace(0.0, ends, rate=rate, spread_s=5.0), 0.0, 0
    for pause in pauses:
        share = pace.share(clients - asked, now)
        assert 0 <= share <= min(MAX_MOVES, clients - asked)
        pace.moved(share)
        asked += share
        now += pause
    if rate is not None:
        assert asked <= rate * now + 1


# Who is closed when


@given(seconds, st.integers(1, 500), st.floats(0, 0.99), chance)
def test_the_rest_is_closed_one_after_the_other_and_by_the_deadline(
    ends: float, count: int, when: float, rng: random.Random
) -> None:
    pace = DrainPace(0.0, ends, spread_s=5.0)
    now = when * pace.closed_by
    times = pace.closing_times(count, now, rng)
    assert len(times) == count
    assert times == sorted(times)
    assert all(max(now, pace.closing_from) <= at <= pace.closed_by < ends for at in times)
    width = (pace.closed_by - max(now, pace.closing_from)) / count
    assert all(times[i + 2] - times[i] >= width * 0.999 for i in range(count - 2))


@given(seconds, st.floats(0, 0.99), chance)
def test_who_was_sent_away_has_time_to_follow_and_not_for_ever(
    ends: float, when: float, rng: random.Random
) -> None:
    pace = DrainPace(0.0, ends, spread_s=5.0)
    now = when * pace.closed_by
    until = pace.follow_by(now, rng)
    assert now <= until <= min(pace.closed_by, now + FOLLOW_S)
    assert until - now >= min(FOLLOW_S, (pace.closed_by - now) / 2) * 0.999


@given(seconds, st.floats(0, 0.99), st.integers(1, MAX_TRIES + 2), st.floats(0.1, 60))
def test_who_did_not_follow_is_named_again_while_there_is_time(
    ends: float, when: float, tries: int, patience_s: float
) -> None:
    pace = DrainPace(0.0, ends, spread_s=5.0)
    now = when * pace.closed_by
    again_at = pace.again_at(now, tries, patience_s)
    if tries < MAX_TRIES and now + patience_s < pace.closing_from:
        assert again_at == now + patience_s
    else:
        assert again_at == math.inf


def test_who_was_sent_away_is_closed_at_a_time_of_its_own(rng: random.Random) -> None:
    pace = DrainPace(0.0, 20.0, spread_s=5.0)
    assert len({round(pace.follow_by(0.0, rng), 2) for _ in range(100)}) > 50


@given(seconds, st.floats(0, 100))
def test_closing_takes_a_fifth_of_the_time_at_most(ends: float, spread_s: float) -> None:
    assume(spread_s > 0)
    pace = DrainPace(0.0, ends, spread_s=spread_s)
    assert pace.closing_from >= ends * MOVING_SHARE * 0.999
    assert ends - pace.closing_from <= spread_s * 1.001
    assert repr(pace).startswith("<DrainPace: ends ")
