"""YAML, strictly."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings_yaml import SYNTAX_ERRORS, StrictLoader, describe


def load(text: str) -> Any:
    return yaml.load(text, Loader=StrictLoader)


def problem(text: str) -> str:
    with pytest.raises(SYNTAX_ERRORS) as raised:
        load(text)
    return describe(raised.value)


def test_plain_data_is_read() -> None:
    assert load("{a: 1, b: [1.5, true, null, ~, text], c: {d: ''}}") == {
        "a": 1,
        "b": [1.5, True, None, None, "text"],
        "c": {"d": ""},
    }


def test_dates_stay_text() -> None:
    assert load("a: 2026-11-21") == {"a": "2026-11-21"}


def test_anchors_and_merges_work() -> None:
    assert load("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}")["d"] == {"b": 1, "c": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "line 3, column 1: the key 'a' stands there twice"),
        ("a: {b: 1, b: 2}", "line 1, column 11: the key 'b' stands there twice"),
        ('a: 1\n"a": 2', "the key 'a' stands there twice"),
        ("1: a", "a key must be text"),
        ("on: a", "a key must be text"),
        ("? [a]\n: b", "a key must be text"),
        ("!!str [a]: b", "a key must be text"),
        ("a: !!int nonsense", "this is no int"),
        ("a: !!bool nonsense", "this is no bool"),
        ("a: !!map nonsense", "this is no mapping"),
        ("a: !!binary aGk=", "this tag is not used here"),
        ("a: !!set {b}", "this tag is not used here"),
        ("a: !!timestamp 2026-11-21", "this tag is not used here"),
        ("!!python/name:os.system", "this tag is not used here"),
        ("a: *b", "found undefined alias"),
        ("a:\n\t- b", "line 2, column 1"),
        ("- {path: /a/{id}, service: b}", "between braces, quote what has braces, as a path with a {name}"),
        ("---\na\n---\nb", "expected a single document"),
        ("a: " + "[" * 600, "nested too deeply"),
        ("\x07", "a character that no YAML text may hold"),
    ],
)
def test_mistakes_say_where_they_are(text: str, message: str) -> None:
    assert message in problem(text)


def test_no_mistake_quotes_the_text() -> None:
    """PyYAML's own message shows the line, which may hold a secret."""
    texts = ["canary: x", "[canary", "'canary", "*canary", "!canary!x y", "!canary y", '"\\canary"']
    texts += ["%canary", "@canary", "!!int canary"]
    for text in texts:
        assert "canary" not in problem(f"secret: {text}")


@given(st.text(alphabet="!a:&*<[]{}-?|>'\" \n0,", max_size=30))
def test_it_raises_nothing_else(text: str) -> None:
    try:
        load(text)
    except SYNTAX_ERRORS as error:
        described = describe(error)
    else:
        described = "not valid YAML"
    assert described.startswith("not valid YAML")
