import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.agent.queries import BadQuery, Query, read_flag, read_query


def read(*pairs: tuple[str, str]) -> Query:
    return read_query(pairs, "dc1")


def test_nothing_said_means_do_not_wait() -> None:
    assert read() == Query(index=0, wait_s=300.0, passing=False, tags=(), consistency="leader")


def test_everything_at_once() -> None:
    query = read(
        ("index", "7"),
        ("wait", "1m30s"),
        ("passing", ""),
        ("tag", "a"),
        ("tag", "b"),
        ("stale", ""),
        ("near", "_agent"),
        ("dc", "dc1"),
        ("pretty", ""),
        ("cached", ""),
    )
    assert query == Query(7, 90.0, True, ("a", "b"), "stale", True)
    assert read(("consistent", "")).consistency == "consistent"


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [("", 300.0), ("0s", 300.0), ("-5s", 300.0), ("10s", 10.0), ("600s", 600.0), ("1h", 600.0)],
)
def test_the_wait_has_a_default_and_a_maximum(wait: str, seconds: float) -> None:
    assert read(("index", "1"), ("wait", wait)).wait_s == seconds


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 600))
def test_the_jitter_is_at_most_a_sixteenth(chance: float, wait_s: int) -> None:
    assert wait_s <= Query(wait_s=wait_s).patience_s(chance) <= wait_s * (1 + 1 / 16)


@pytest.mark.parametrize(
    ("text", "passing"),
    [("", True), ("1", True), ("true", True), ("T", True), ("0", False), ("false", False)],
)
def test_passing_in_gos_spellings(text: str, passing: bool) -> None:
    assert read(("passing", text)).passing is passing


@pytest.mark.parametrize(
    ("pair", "message", "status"),
    [
        (("index", "abc"), "Invalid index", 400),
        (("index", "-1"), "Invalid index", 400),
        (("index", "٣"), "Invalid index", 400),
        (("index", "9" * 30), "Invalid index", 400),
        (("wait", "zz"), "Invalid wait time", 400),
        (("wait", "10"), "Invalid wait time", 400),
        (("passing", "xx"), "Invalid value for ?passing", 400),
        (("dc", "elsewhere"), "No path to datacenter", 500),
        (("filter", "x"), "?filter is not supported by the embedded agent", 400),
        (("node-meta", "a:b"), "?node-meta is not supported by the embedded agent", 400),
        (("ns", "x"), "?ns is not supported by the embedded agent", 400),
    ],
)
def test_what_cannot_be_answered_is_refused(pair: tuple[str, str], message: str, status: int) -> None:
    with pytest.raises(BadQuery) as caught:
        read(pair)
    assert str(caught.value).startswith(message)
    assert caught.value.status == status


def test_stale_and_consistent_contradict_each_other() -> None:
    with pytest.raises(BadQuery, match="conflicting semantics"):
        read(("stale", ""), ("consistent", ""))


def test_an_empty_filter_filters_nothing() -> None:
    assert read(("filter", "")) == Query()


def test_a_flag_is_yes_no_or_nonsense() -> None:
    assert (read_flag("TRUE"), read_flag("f"), read_flag("yes")) == (True, False, None)
