"""What is read off a ledger."""

from tests.faults.ledger import Call, CallLedger, Seen, amplification, executed_twice, read_seen


def call(
    name: str,
    sent_at: float = 0,
    took_s: float = 0.1,
    status: int | None = 200,
    reason: str = "",
    instance: str = "",
) -> Call:
    return Call(name, name.split("-")[0].upper(), 8000, sent_at, took_s, status, reason, instance)


def test_a_gap_is_between_the_ends_of_successes() -> None:
    ledger = CallLedger([call("get-1", 0), call("get-2", 1, status=502), call("get-3", 3, 1)])
    assert ledger.longest_gap_s() == 3.9
    assert CallLedger().longest_gap_s() == 0


def test_failures_are_counted_by_their_kind() -> None:
    ledger = CallLedger(
        [
            call("get-1"),
            call("post-2", status=502, reason="upstream_reset"),
            call("post-3", status=502, reason="upstream_reset"),
            call("get-4", status=None, reason="cut"),
        ]
    )
    assert ledger.failures() == {"POST 502 upstream_reset": 2, "GET no answer cut": 1}
    assert ledger.of("GET").failures() == {"GET no answer cut": 1}


def test_calls_are_found_by_when_they_were_sent() -> None:
    ledger = CallLedger([call(f"get-{n}", n) for n in range(5)])
    assert [one.sent_at for one in ledger.since(1, 3).calls] == [1, 2]


def test_times_are_read_by_share() -> None:
    ledger = CallLedger([call(f"get-{n}", took_s=n) for n in range(100)])
    assert (ledger.at_share_s(0.5), ledger.at_share_s(0.99), ledger.slowest_s()) == (50, 99, 99)
    assert len(ledger.slower_than(97)) == 2


def test_the_first_answer_of_an_instance_counts_from_a_moment() -> None:
    ledger = CallLedger([call("get-1", 1, instance="a"), call("get-2", 5, 1, instance="a")])
    assert ledger.first_answer_of("a", 4) == 2
    assert ledger.first_answer_of("b", 0) is None


def test_a_line_that_death_cut_short_was_not_written() -> None:
    seen = read_seen("a", "1.5 GET get-1\n2.5 POST post-2\n2.6 PO")
    assert seen == [Seen(1.5, "GET", "get-1", "a"), Seen(2.5, "POST", "post-2", "a")]


def test_a_post_is_noticed_when_it_is_executed_again() -> None:
    seen = [Seen(1, "POST", "post-1", "a"), Seen(2, "POST", "post-1", "b"), Seen(3, "GET", "get-2", "a")]
    assert executed_twice(seen, "POST") == ["post-1"]
    assert executed_twice(seen, "GET") == []
    assert amplification(CallLedger([call("post-1"), call("get-2")]), seen) == 1.5
