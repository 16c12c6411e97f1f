from hypothesis import given
from hypothesis import strategies as st

from balancer.reports import MAX_OF_ONE, MIN_CALLERS, MIN_WEIGHT, ReportLedger
from registry.model import InstanceId, InstanceKey

WINDOW_S = 10.0


def key(n: int) -> InstanceKey:
    return (InstanceId(f"i{n}"), "1")


ONE = key(1)


def say(ledger: ReportLedger, said: str, now: float = 0, about: InstanceKey = ONE) -> bool:
    """A letter is a caller, in upper case with a failure; the verdict after the last one."""
    verdict = False
    for letter in said:
        verdict = ledger.add(about, letter.lower(), letter.islower(), now, WINDOW_S)
    return verdict


def test_two_callers_with_two_failures_in_a_row_each_are_believed() -> None:
    assert say(ReportLedger(), "ABAB")
    assert say(ReportLedger(), "AAAB")


def test_one_caller_is_not_however_much_it_says() -> None:
    assert not say(ReportLedger(), "A" * 1000)


def test_one_failure_each_may_be_chance() -> None:
    assert not say(ReportLedger(), "ABC")


def test_a_success_ends_a_callers_complaint() -> None:
    assert not say(ReportLedger(), "AAABaB")
    assert not say(ReportLedger(), "AABb")


def test_most_of_those_who_said_anything_must_complain() -> None:
    assert not say(ReportLedger(), "cdAABB")
    assert say(ReportLedger(), "cAABB")


def test_what_was_said_a_window_ago_is_over() -> None:
    ledger = ReportLedger()
    assert not say(ledger, "AAA")
    assert not say(ledger, "B", now=WINDOW_S)
    assert not say(ledger, "A", now=WINDOW_S), "its row began anew"


def test_what_was_acted_on_is_forgotten() -> None:
    ledger = ReportLedger()
    assert say(ledger, "AABB")
    ledger.forget(ONE)
    assert len(ledger) == 0
    assert not say(ledger, "AB")


def test_a_flood_of_names_stays_bounded() -> None:
    ledger = ReportLedger(max_instances=10, max_callers=4)
    for n in range(1000):
        ledger.add(key(n % 50), f"10.0.{n}", False, 0, WINDOW_S)
    assert len(ledger) <= 40
    assert repr(ledger).endswith("on 10 instances>")
    assert not say(ledger, "A", about=key(49))
    assert say(ledger, "BABB", about=key(49)), "who speaks now is heard"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.floats(0, 3)), max_size=40))
def test_a_verdict_has_enough_voices_behind_it(reports: list[tuple[str, bool, float]]) -> None:
    ledger, now = ReportLedger(), 0.0
    rows: dict[str, tuple[int, float]] = {}
    for caller, ok, later in reports:
        now += later
        failures, until = rows.get(caller, (0, now))
        rows[caller] = (0 if ok else (failures if until > now else 0) + 1, now + WINDOW_S)
        verdict = ledger.add(ONE, caller, ok, now, WINDOW_S)
        heard = [row for row, until in rows.values() if until > now]
        complaints = [min(row, MAX_OF_ONE) for row in heard if row]
        enough = len(complaints) >= MIN_CALLERS and sum(complaints) >= MIN_WEIGHT
        assert verdict == (not ok and enough and 2 * len(complaints) > len(heard))
