import pytest

from tests.examples.standins.shapes import Shape, mismatch


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        (..., None),
        (str, "a"),
        ("a", "a"),
        ({"a": int}, {"a": 1, "b": 2}),
        ([{"a": int}], [{"a": 1}, {"a": 2}]),
        ([], []),
        ([], [1]),
        (list, []),
        ({"a": {"b": ...}}, {"a": {"b": None}}),
    ],
)
def test_what_has_the_shape(shape: Shape, value: object) -> None:
    assert mismatch(shape, value) is None


@pytest.mark.parametrize(
    ("shape", "value", "problem"),
    [
        (str, 1, "answer is 1, no str"),
        ("a", "b", "answer is 'b', not 'a'"),
        ({"a": int}, {"b": 1}, "answer has no a: {'b': 1}"),
        ({"a": int}, [], "answer is [], no object"),
        ({"a": {"b": int}}, {"a": {"b": "1"}}, "answer.a.b is '1', no int"),
        ([int], [], "answer is [], no list of some"),
        ([int], [1, "2"], "answer[1] is '2', no int"),
        ([], {}, "answer is {}, no list"),
    ],
)
def test_what_has_not_is_told_where(shape: Shape, value: object, problem: str) -> None:
    assert mismatch(shape, value) == problem
