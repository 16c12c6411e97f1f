import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.agent.durations import BadDuration, parse_duration, read_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0),
        ("1m30s", 90.0),
        ("1.5h", 5400.0),
        ("250ms", 0.25),
        ("1h1m1.5s1ms1us1ns", 3661.501001001),
        ("7µs", 7e-6),
        ("7μs", 7e-6),
        (".5s", 0.5),
        ("5.s", 5.0),
        ("0", 0.0),
        ("-1s", -1.0),
        ("+2s", 2.0),
    ],
)
def test_reads_what_go_reads(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("abc", 'time: invalid duration "abc"'),
        ("10", 'time: missing unit in duration "10"'),
        ("1m30", 'time: missing unit in duration "1m30"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("s", 'time: invalid duration "s"'),
        (".s", 'time: invalid duration ".s"'),
        ("1s 2s", 'time: unknown unit "s " in duration "1s 2s"'),
        ("--1s", 'time: invalid duration "--1s"'),
        ("9999999h", 'time: invalid duration "9999999h"'),
        ("٣s", 'time: invalid duration "٣s"'),
    ],
)
def test_refuses_in_gos_words(text: str, message: str) -> None:
    with pytest.raises(BadDuration) as caught:
        parse_duration(text)
    assert str(caught.value) == message


@given(st.text(max_size=80))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    try:
        assert isinstance(parse_duration(text), float)
    except BadDuration:
        pass


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 999))
def test_parts_add_up(minutes: int, seconds: int, millis: int) -> None:
    total = minutes * 60 + seconds + millis / 1000
    assert parse_duration(f"{minutes}m{seconds}s{millis}ms") == pytest.approx(total)


def test_a_number_is_nanoseconds() -> None:
    assert read_duration(15_000_000_000) == 15.0
    assert read_duration(1.5e9) == 1.5
    assert read_duration("2s") == 2.0


@pytest.mark.parametrize("value", [True, [], {}, float("nan"), float("inf"), 10**30])
def test_other_values_are_no_durations(value: object) -> None:
    with pytest.raises(BadDuration):
        read_duration(value)
