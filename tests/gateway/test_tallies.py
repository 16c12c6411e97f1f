"""Beside prometheus_client's own counters and histograms, which are the measure of what is right."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Counter
from prometheus_client import Histogram as TheirHistogram

from gateway.tallies import OTHER, Counters, Histogram, Histograms, keep

BOUNDS = (0.001, 0.0025, 0.1, 0.5, 1.0, 30.0)
VALUES = st.lists(st.floats(0, 60) | st.sampled_from([*BOUNDS, 0.0]))
LABELS = st.tuples(st.sampled_from(["/a", "/b", "/c"]), st.sampled_from(["GET", "POST"]))


@given(VALUES)
def test_a_histogram_holds_what_prometheus_holds(values: list[float]) -> None:
    theirs, ours = TheirHistogram("seconds", "", registry=None, buckets=BOUNDS), Histogram(BOUNDS)
    for value in values:
        theirs.observe(value)
        ours.observe(value)
    (family,) = theirs.collect()
    buckets = {float(s.labels["le"]): s.value for s in family.samples if s.name == "seconds_bucket"}
    assert dict(zip((*BOUNDS, math.inf), ours.cumulative(), strict=True)) == buckets
    shown = {s.name: s.value for s in family.samples}
    assert (ours.count, ours.sum) == (shown["seconds_count"], shown["seconds_sum"])


@given(st.lists(LABELS))
def test_counters_hold_what_prometheus_holds(calls: list[tuple[str, str]]) -> None:
    theirs, ours = Counter("calls", "", ["route", "method"], registry=None), Counters()
    for labels in calls:
        theirs.labels(*labels).inc()
        ours.count(*labels)
    (family,) = theirs.collect()
    totals = [sample for sample in family.samples if sample.name == "calls_total"]
    assert ours == {(total.labels["route"], total.labels["method"]): total.value for total in totals}


@pytest.mark.parametrize(("low", "high"), [*pairwise((*BOUNDS, 60.0))])
def test_an_edge_belongs_to_the_bucket_below_it(low: float, high: float) -> None:
    histogram = Histogram((low, high))
    histogram.observe(low)
    assert histogram.buckets == [1, 0, 0]
    histogram.observe(high)
    assert histogram.buckets == [1, 1, 0]


@given(st.lists(st.tuples(LABELS, st.floats(0, 60))))
def test_a_sum_over_a_first_label_is_as_if_it_were_the_only_one(
    calls: list[tuple[tuple[str, str], float]],
) -> None:
    split, alone = Histograms(BOUNDS), Histograms(BOUNDS)
    for labels, value in calls:
        split[labels].observe(value)
        alone[labels[:1]].observe(value)
    sums = split.by(0)
    assert {labels: histogram.buckets for labels, histogram in sums.items()} == {
        labels: histogram.buckets for labels, histogram in alone.items()
    }
    for first, histogram in sums.items():
        assert histogram.sum == pytest.approx(alone[first].sum)


def test_labels_are_kept_in_the_order_that_is_asked_for() -> None:
    histograms = Histograms(BOUNDS)
    histograms["/a", "GET", 200].observe(0.2)
    histograms["/a", "GET", 404].observe(0.2)
    assert {labels: histogram.count for labels, histogram in histograms.by(1, 0).items()} == {
        ("GET", "/a"): 2
    }


def test_what_is_there_no_longer_is_forgotten() -> None:
    counters, histograms = Counters(), Histograms(BOUNDS)
    for name in ("/a", "/b", OTHER):
        counters.count(name, "hit")
        histograms[name, 200].observe(0.1)
    for tallies in (counters, histograms):
        keep(tallies, {"/b", "/c"})
    assert counters == {("/b", "hit"): 1, (OTHER, "hit"): 1}
    assert list(histograms) == [("/b", 200), (OTHER, 200)]


def test_summing_up_changes_nothing() -> None:
    histograms = Histograms(BOUNDS)
    histograms["/a", 200].observe(0.2)
    histograms["/a", 404].observe(0.3)
    for _ in range(2):
        assert histograms.by(0)["/a",].count == 2
    assert histograms["/a", 200].count == 1


def test_labels_beyond_the_bound_are_counted_together() -> None:
    counters, histograms = Counters(max_labels=3), Histograms(BOUNDS, max_labels=3)
    for number in range(10):
        for _ in range(2):
            counters.count("/a", number)
            histograms["/a", number].observe(0.5)
    kept: dict[tuple[str | int, ...], int] = {("/a", 0): 2, ("/a", 1): 2, ("/a", 2): 2, (OTHER, OTHER): 14}
    assert counters == kept
    assert {labels: histogram.count for labels, histogram in histograms.items()} == kept
