import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.hints import SLOW_S, AnswerHints, hints_of
from balancer.model import Headers


@pytest.mark.parametrize(
    ("value", "eject_s"),
    [(b"true", 0.0), (b"1", 0.0), (b" Yes ", 0.0), (b"30", 30.0), (b"2.5", 2.5)],
)
def test_an_instance_may_ask_to_be_left_alone(value: bytes, eject_s: float) -> None:
    assert hints_of(200, [], value) == AnswerHints(eject_s, None)


@pytest.mark.parametrize(
    "value", [b"", b"0", b"false", b"-3", b"nan", b"inf", b"1e9", b"9" * 50, b"1.", b".5", b"\xb2"]
)
def test_what_can_not_be_read_is_not_said(value: bytes) -> None:
    assert hints_of(200, [], value) is None
    assert hints_of(503, [(b"Retry-After", value)], None) is None


@pytest.mark.parametrize(
    ("status", "headers", "slow_s"),
    [
        (429, [], SLOW_S),
        (429, [(b"retry-after", b"7")], 7.0),
        (429, [(b"retry-after", b"0")], SLOW_S),
        (429, [(b"Retry-After", b"Sat, 21 Nov 2026 08:00:00 GMT")], SLOW_S),
        (503, [(b"Retry-After", b"7")], 7.0),
    ],
)
def test_an_instance_may_ask_for_fewer_calls(status: int, headers: Headers, slow_s: float) -> None:
    assert hints_of(status, headers, None) == AnswerHints(None, slow_s)


@pytest.mark.parametrize("status", [200, 404, 500, 502, 503])
def test_most_answers_ask_for_nothing(status: int) -> None:
    headers = [] if status == 503 else [(b"Retry-After", b"7")]
    assert hints_of(status, headers, None) is None


@given(st.sampled_from([200, 429, 503]), st.binary(max_size=12), st.one_of(st.none(), st.binary(max_size=12)))
def test_no_bytes_break_it(status: int, after: bytes, eject: bytes | None) -> None:
    hints = hints_of(status, [(b"Retry-After", after)], eject)
    assert hints is None or all(said is None or 0 <= said < 1e9 for said in hints)
