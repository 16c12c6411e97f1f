"""JSON that only one reading has."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.strict_json import read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"{", b"NaN", b"[Infinity]", b'{"a": -Infinity}', b"\xff", b'"\xc0\xaf"', b"\xef\xbb\xbf{}"),
        *(b'{"a": 1, "a": 1}', b'[{"b": {"a": 1, "a": 2}}]', b'{"a": 1, "\\u0061": 2}', b"{}{}"),
        *('{"a": 1}'.encode("utf-16"), '{"a": 1}'.encode("utf-32-le"), b"1" * 5000, b"[" * 100_000),
    ],
    ids=lambda raw: repr(raw)[:40],
)
def test_what_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_json(raw)


@given(VALUES)
def test_everything_else_is_read_as_it_was_written(value: Any) -> None:
    assert read_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=60))
def test_only_value_errors_are_raised(raw: bytes) -> None:
    try:
        read_json(raw)
    except ValueError:
        return
