"""Lines are written only if every reader finds the same headers in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.field_lines import FieldLines
from balancer.model import Headers

NAMES = st.from_regex(rb"[A-Za-z][A-Za-z0-9-]{0,12}", fullmatch=True)
VALUES = st.binary(max_size=12)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_lines_are_the_pairs_or_they_have_a_problem(headers: Headers) -> None:
    lines = FieldLines(headers)
    if not lines.problem:
        read = [tuple(line.split(b": ", 1)) for line in lines.data.split(b"\r\n")[:-1]]
        assert read == headers
    names = [name.lower() for name, _ in headers]
    if any(set(value) & set(b"\r\n\0") for _, value in headers) or b"transfer-encoding" in names:
        assert lines.problem


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ([(b"X", b"a\r\nY: z")], "control character"),
        ([(b"X", b"a\n")], "control character"),
        ([(b"X", b"a\r")], "control character"),
        ([(b"X", b"a\0")], "control character"),
        ([(b"X", b"\x7f")], "control character"),
        ([(b"X\r\nY", b"a")], "control character"),
        ([(b"", b"a\r\n")], "control character"),
        ([(b"Content-Length", b"2"), (b"content-length", b"2")], "content-length"),
        ([(b"Content-Length", b"+2")], "content-length"),
        ([(b"Content-Length", b"")], "content-length"),
        ([(b"Content-Length", b"9" * 19)], "content-length"),
        ([(b"TRANSFER-encoding", b"chunked")], "transfer-encoding"),
    ],
    ids=str,
)
def test_what_could_be_read_in_two_ways_has_a_problem(headers: Headers, problem: str) -> None:
    assert problem in FieldLines(headers).problem


def test_the_length_and_the_host_are_found_whatever_their_case_and_place() -> None:
    lines = FieldLines([(b"hOsT", b"a"), (b"x", b"content-length: 7"), (b"CONTENT-Length", b"42")])
    assert (lines.has_host, lines.declared, lines.problem) == (True, 42, "")
    other = FieldLines([(b"x-host", b"a"), (b"x-content-length", b"7")])
    assert (other.has_host, other.declared, other.problem) == (False, None, "")


def test_one_line_more_is_checked_by_itself_and_changes_nothing_that_is_shared() -> None:
    shared = FieldLines([(b"Host", b"a"), (b"Content-Length", b"3")])
    more = shared.plus(b"X-Request-Id", b"r-1")
    assert more.data == shared.data + b"X-Request-Id: r-1\r\n"
    assert (more.has_host, more.declared, more.problem) == (True, 3, "")
    assert shared.plus(b"X", b"a\r\nY: z").problem
    assert FieldLines([(b"X", b"\0")]).plus(b"Y", b"z").problem
    assert FieldLines().plus(b"A", b"b").data == b"A: b\r\n"
