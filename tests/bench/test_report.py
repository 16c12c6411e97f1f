"""Goals, ratios and percentiles of measurements."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report import Goal, Report, Row, medians, percentile, ratio, times_ms


def report(**per_s: float) -> Report:
    rows = tuple(Row(case, {"per_s": value}) for case, value in per_s.items())
    return Report("get", "A small GET", rows, ours=("on", "off"), compare="per_s")


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (Goal("ratio", 1.0, "at least", 1.0), True),
        (Goal("ratio", 0.99, "at least", 1.0), False),
        (Goal("ms", 50.0, "at most", 50.0), True),
        (Goal("ms", 50.1, "at most", 50.0), False),
        (Goal("ratio", None, "at least", 1.0), None),
    ],
    ids=lambda value: f"{value.value} {value.kind} {value.bound}" if isinstance(value, Goal) else str(value),
)
def test_a_goal_is_met_missed_or_not_measured(goal: Goal, met: bool | None) -> None:
    assert goal.met is met


def test_one_missed_goal_is_enough_and_one_not_measured_is_none() -> None:
    met, missed, unknown = (Goal("g", value, "at least", 1.0) for value in (2.0, 0.5, None))
    assert report(on=1.0).judged(met, missed).missed
    assert not report(on=1.0).judged(met, unknown).missed


def test_ratios_are_ours_by_the_others() -> None:
    taken = report(on=200.0, off=300.0, envoy=100.0, nginx=400.0)
    assert taken.ratios() == {"on": {"envoy": 2.0, "nginx": 0.5}, "off": {"envoy": 3.0, "nginx": 0.75}}


def test_without_the_other_there_is_no_ratio() -> None:
    assert report(on=200.0).ratio("on", "envoy") is None
    assert report(envoy=200.0).ratio("on", "envoy") is None
    assert ratio(5.0, 0.0) is None


def test_ours_are_compared_only_with_others() -> None:
    assert report(on=1.0, off=2.0).compared == ()
    assert report(on=1.0, envoy=2.0).compared == ("on",)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.floats(0, 1))
def test_a_percentile_is_a_value_that_was_measured(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6


def test_times_are_milliseconds() -> None:
    seconds = [0.001 * number for number in range(1, 101)]
    assert times_ms(seconds) == {"count": 100, "p50_ms": 50.0, "p99_ms": 99.0, "max_ms": 100.0}


def test_the_median_is_taken_figure_by_figure() -> None:
    turns = [{"a": 1.0, "b": 9.0}, {"a": 3.0, "b": 7.0}, {"a": 2.0, "b": 8.0}]
    assert medians(turns) == {"a": 2.0, "b": 8.0}
