"""What an act is judged by."""

from bench.fleet.figures import Act, verdict


def act() -> Act:
    found = Act("A kill")
    found.known("clients", 1234)
    found.exactly("lost", 0, 0)
    found.at_most("until it was over", 2.5, 2.0, is_time=True)
    return found


def test_a_time_is_judged_only_where_times_can_be() -> None:
    assert not act().met()
    assert act().met(timed=False)


def test_a_count_is_always_judged() -> None:
    found = act()
    found.exactly("doubled", 1, 0)
    assert not found.met(timed=False)


def test_more_than_the_bound_is_missed_and_the_bound_is_not() -> None:
    found = Act("A drain")
    found.at_most("spread", 1, 1)
    assert found.met()
    found.at_most("spread", 2, 1)
    assert not found.met()


def test_the_report_shows_each_figure_with_its_bound() -> None:
    lines = act().text().splitlines()
    assert lines[0] == "A kill"
    assert lines[1].split() == ["clients", "1,234"]
    assert lines[2].endswith("0  (exactly 0)")
    assert lines[3].endswith("2.5 s  (at most 2 s)  MISSED")


def test_the_verdict_names_what_was_missed() -> None:
    assert verdict([act()]).splitlines() == ["MISSED:", "  A kill: until it was over"]
    assert verdict([act()], timed=False) == "Everything held."
