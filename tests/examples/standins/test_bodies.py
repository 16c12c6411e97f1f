import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.standins.bodies import LONGEST_TEXT, MOST_ELEMENTS, WORDS, problems_of, taken

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("value", "kind", "problem"),
    [
        ("text", str, ""),
        ("", str, f"must have 1 to {LONGEST_TEXT} characters"),
        ("x" * (LONGEST_TEXT + 1), str, f"must have 1 to {LONGEST_TEXT} characters"),
        (1, str, "must be a text"),
        (1, int, ""),
        (True, int, "must be a whole number"),
        (1.5, int, "must be a whole number"),
        (1, float, ""),
        (1.5, float, ""),
        (True, float, "must be a number"),
        (False, bool, ""),
        ([1], list, ""),
        ([1] * (MOST_ELEMENTS + 1), list, f"must have at most {MOST_ELEMENTS} elements"),
        ({}, list, "must be a list"),
        ({}, dict, ""),
    ],
)
def test_a_value_is_of_its_kind_or_the_problem_says_which(value: object, kind: type, problem: str) -> None:
    expected = {"field": problem} if problem else {}
    assert problems_of({"field": value}, {"field": kind}, {}) == expected
    assert problems_of({"field": value}, {}, {"field": kind}) == expected


def test_what_is_wanted_must_be_there_and_what_is_optional_need_not() -> None:
    assert problems_of({"b": None}, {"a": str, "b": str}, {"c": str}) == {
        "a": "is missing",
        "b": "is missing",
    }


def test_only_what_was_asked_for_is_taken() -> None:
    assert taken({"a": 1, "b": None, "x": 2}, {"a": int}, {"b": int}) == {"a": 1}


@settings(max_examples=50)
@given(body=st.dictionaries(st.sampled_from("abc"), JSON), kinds=st.lists(st.sampled_from(list(WORDS))))
def test_a_body_without_problems_gives_every_wanted_field(body: dict[str, object], kinds: list[type]) -> None:
    wanted = dict(zip("abc", kinds, strict=False))
    if not problems_of(body, wanted, {}):
        assert taken(body, wanted, {}).keys() == wanted.keys()
