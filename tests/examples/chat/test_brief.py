from hypothesis import given
from hypothesis import strategies as st

from examples.chat.brief import BriefCache, Pace


def test_an_answer_is_good_for_a_while() -> None:
    cache: BriefCache[str] = BriefCache(keep_s=2, most=10)
    cache.put("a", "x", now=100)
    assert cache.get("a", now=101.9) == "x"
    assert cache.get("a", now=102) is None
    assert cache.get("b", now=100) is None


def test_an_old_answer_is_there_for_the_day_when_nobody_can_be_asked() -> None:
    cache: BriefCache[str] = BriefCache(keep_s=2, most=10)
    cache.put("a", "x", now=100)
    assert cache.get("a", now=500) is None
    assert cache.last("a") == "x"
    assert cache.last("b") is None


def test_an_answer_can_be_dropped() -> None:
    cache: BriefCache[str] = BriefCache(keep_s=2, most=10)
    cache.put("a", "x", now=100)
    cache.drop("a")
    cache.drop("never there")
    assert cache.get("a", now=100) is None
    assert cache.last("a") is None


def test_the_oldest_makes_room() -> None:
    cache: BriefCache[int] = BriefCache(keep_s=100, most=2)
    for number, key in enumerate("aba" + "c"):
        cache.put(key, number, now=0)
    assert [cache.get(key, now=1) for key in "abc"] == [2, None, 3]


def test_a_burst_may_pass_and_then_one_at_a_time() -> None:
    pace = Pace(per_s=2, burst=3, now=0)
    assert [pace.delay(0) for _ in range(5)] == [0, 0, 0, 0.5, 1]
    assert pace.delay(1.5) == 0
    assert [pace.delay(100) for _ in range(4)] == [0, 0, 0, 0.5]


@given(st.lists(st.floats(0, 0.5), max_size=100))
def test_in_the_long_run_the_rate_holds(steps: list[float]) -> None:
    pace, now, passed = Pace(per_s=2, burst=3, now=0), 0.0, 0
    for step in steps:
        now += step + pace.delay(now + step)
        passed += 1
    assert passed <= 3 + 2 * now + 1e-6
