"""What a gateway adds is what it has on top of an instance that is asked directly."""

from bench.report import Row
from bench.work.added_latency import DIRECT, with_added


def test_the_direct_row_is_taken_off_every_row() -> None:
    rows = (Row("Envoy", {"p50_ms": 0.5, "p99_ms": 2.0}), Row(DIRECT, {"p50_ms": 0.2, "p99_ms": 0.5}))
    envoy, direct = with_added(rows)
    assert envoy.figures == {"p50_ms": 0.5, "p99_ms": 2.0, "added_p50_ms": 0.3, "added_p99_ms": 1.5}
    assert (direct.figures["added_p50_ms"], direct.figures["added_p99_ms"]) == (0.0, 0.0)


def test_without_it_nothing_is_added() -> None:
    rows = (Row("Envoy", {"p50_ms": 0.5, "p99_ms": 2.0}),)
    assert with_added(rows) == rows
