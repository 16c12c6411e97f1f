"""The cases of the W3C's own test suite (trace-context/test), and properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.trace_context import (
    BOTH,
    MAX_STATE,
    NO_TRACE,
    TRACESTATE,
    TraceContext,
    TraceHeaders,
    read_trace,
    traceparent,
)

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
REFUSED = TraceHeaders(None, BOTH)


def test_a_request_without_them_says_nothing() -> None:
    assert read_trace((), ()) is NO_TRACE


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (PARENT, 1),
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"00-{TRACE}-{SPAN}-03", 3),
        (f"00-{TRACE}-{SPAN}-ff", 3),
        (f"01-{TRACE}-{SPAN}-01", 1),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", 1),
        (f"fe-{TRACE}-{SPAN}-01-", 1),
    ],
)
def test_a_parent_is_read(value: str, flags: int) -> None:
    read = read_trace([value], ())
    assert read == TraceHeaders(TraceContext(TRACE, SPAN, flags), frozenset())
    assert read.context is not None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01.",
        f"cc-{TRACE}-{SPAN}-01.what",
        f"cc-{TRACE}-{SPAN}-011",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"000-{TRACE}-{SPAN}-01",
        f".0-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"00-{TRACE}-{SPAN}-0A",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{TRACE}-{SPAN[1:]}-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"00-.{TRACE[1:]}-{SPAN}-01",
        f" {PARENT}",
        f"{PARENT}\n",
        f"{PARENT},{PARENT}",
        f"00-{chr(0x660) * 32}-{SPAN}-01",
    ],
)
def test_a_parent_that_is_none_is_dropped_with_its_state(value: str) -> None:
    assert read_trace([value], ["a=1"]) == REFUSED


@pytest.mark.parametrize("values", [(), (PARENT, PARENT)])
def test_a_state_without_its_one_parent_says_nothing(values: tuple[str, ...]) -> None:
    assert read_trace(values, ["a=1"]) == REFUSED


@pytest.mark.parametrize(
    ("values", "state"),
    [
        (["foo=1,bar=2"], "foo=1,bar=2"),
        (["foo=1", "bar=2"], "foo=1,bar=2"),
        (["foo=1 \t , \t bar=2,", "", ",baz=3"], "foo=1,bar=2,baz=3"),
        (["foo=  a b"], "foo=  a b"),
        (["fw529a3039@dt=FfAAA,0@a=1"], "fw529a3039@dt=FfAAA,0@a=1"),
        (["a-b_c*d/e=!"], "a-b_c*d/e=!"),
        ([f"{'z' * 256}=1"], f"{'z' * 256}=1"),
        ([f"a={'x' * 256}"], f"a={'x' * 256}"),
        ([""], ""),
    ],
)
def test_a_state_is_one_list(values: list[str], state: str) -> None:
    assert read_trace([PARENT], values) == TraceHeaders(TraceContext(TRACE, SPAN, 1, state), frozenset())


@pytest.mark.parametrize(
    "state",
    [
        "foo",
        "foo=",
        "=1",
        "foo=1=2",
        "foo =1",
        "FOO=1",
        "foo@=1",
        "foo@@bar=1",
        "@bar=1",
        "foo.fighter=1",
        "foo=1,foo=2",
        f"{'z' * 257}=1",
        f"{'t' * 242}@v=1",
        f"t@{'v' * 15}=1",
        f"a={'x' * 257}",
        "foo=\x00",
        "foo=é",
        ",".join(f"bar{n}=1" for n in range(33)),
        "a=" + "," * MAX_STATE,
    ],
)
def test_a_state_that_is_none_goes_and_its_parent_stays(state: str) -> None:
    refused = frozenset({TRACESTATE})
    assert read_trace([PARENT], [state]) == TraceHeaders(TraceContext(TRACE, SPAN, 1), refused)


HEX = "0123456789abcdef"


@given(
    st.text(HEX, min_size=32, max_size=32).filter(lambda text: text.strip("0")),
    st.text(HEX, min_size=16, max_size=16).filter(lambda text: text.strip("0")),
    st.integers(0, 255),
)
def test_what_is_said_is_read_again(trace_id: str, span_id: str, flags: int) -> None:
    read = read_trace([traceparent(trace_id, span_id, flags)], ())
    assert read.context == TraceContext(trace_id, span_id, flags & 3)


@given(
    st.lists(st.text(max_size=60) | st.just(PARENT), max_size=3), st.lists(st.text(max_size=20), max_size=3)
)
def test_whatever_comes_is_read_or_refused(parents: list[str], states: list[str]) -> None:
    read = read_trace(parents, states)
    assert (read.context is None) == (not parents or bool(read.refused & {b"traceparent"}))
