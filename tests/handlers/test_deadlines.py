from hypothesis import given
from hypothesis import strategies as st

from handlers.deadlines import SPARE, Deadlines

KEYS = st.sampled_from("abcdefgh")
TIMES = st.floats(0, 100, allow_nan=False)
STEPS = st.one_of(
    st.tuples(st.just("set"), KEYS, TIMES),
    st.tuples(st.just("discard"), KEYS, TIMES),
    st.tuples(st.just("due"), KEYS, TIMES),
)


@given(st.lists(STEPS))
def test_it_behaves_like_a_dictionary_that_is_sorted_by_time(steps: list[tuple[str, str, float]]) -> None:
    deadlines: Deadlines[str] = Deadlines()
    model: dict[str, float] = {}
    for what, key, at in steps:
        if what == "set":
            deadlines.set(key, at)
            model[key] = at
        elif what == "discard":
            deadlines.discard(key)
            model.pop(key, None)
        else:
            due = sorted((when, name) for name, when in model.items() if when <= at)
            assert list(deadlines.due(at)) == [name for _, name in due]
            for _, name in due:
                del model[name]
        assert deadlines.earliest() == min(model.values(), default=None)
        assert len(deadlines) == len(model)
        assert {name for name in "abcdefgh" if name in deadlines} == set(model)


def test_what_changes_often_does_not_pile_up() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for at in range(10_000):
        deadlines.set("one", float(at))
    left_behind = int(repr(deadlines).split()[3])
    assert left_behind <= SPARE + 2
    assert list(deadlines.due(9_998.0)) == []
    assert list(deadlines.due(9_999.0)) == ["one"]


def test_a_key_may_be_set_again_while_the_due_ones_come_out() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.set("b", 2.0)
    seen = []
    for key in deadlines.due(5.0):
        seen.append(key)
        if key == "a":
            deadlines.set("a", 9.0)
    assert seen == ["a", "b"]
    assert deadlines.earliest() == 9.0
