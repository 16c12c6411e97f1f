"""Text, variables and options, merged."""

from typing import Any

import pytest

from gateway.settings_document import Document, Problem
from gateway.settings_sources import MAX_VALUES, read_sources

DEFAULTS: dict[str, Any] = {"services": {"auth": {"strategy": "x"}}, "routes": [{"path": "/a"}]}


def read(text: str | None, *overrides: tuple[str, str], **environment: str) -> Document:
    return read_sources(text, DEFAULTS, environment, overrides)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${A}", "1"),
        ("x${A}y${B}", "x1y"),
        ("${A:-2}", "1"),
        ("${B:-2}", "2"),
        ("${C:-2}", "2"),
        ("${C:-}", ""),
        ("${C:-http://x:1/$a}", "http://x:1/$a"),
        ("$${A}", "${A}"),
        ("$A $$ $", "$A $$ $"),
    ],
)
def test_references_are_filled(text: str, filled: str) -> None:
    """B is set and empty, C is not set."""
    document = read(f"a: ['{text}']", A="1", B="")
    assert document.data["a"] == [filled]
    assert not document.problems


@pytest.mark.parametrize("text", ["${}", "${1}", "${A B}", "${A", "${A-x}"])
def test_what_is_no_reference_is_a_problem(text: str) -> None:
    (problem,) = read(f"a: {{b: '{text}'}}", A="1").problems
    assert problem.key == "a.b"
    assert "starts no reference" in problem.message


def test_an_unset_variable_is_a_problem_at_its_key() -> None:
    document = read("a: [x, '${NOBODY_SET_IT}']")
    assert document.problems == [
        Problem("a[1]", "needs the variable NOBODY_SET_IT: set it, or write ${NOBODY_SET_IT:-default}")
    ]


def test_an_overridden_reference_needs_no_variable() -> None:
    document = read("a: {b: '${NOBODY_SET_IT}'}", QUAYMASTER__A__B="x")
    assert not document.problems
    assert document.data["a"] == {"b": "x"}


def test_what_a_variable_holds_is_not_read_again() -> None:
    assert read("a: '${A}'", A="${B}", B="x").data["a"] == "${B}"


def test_the_defaults_stand_where_the_text_names_none_of_them() -> None:
    assert read(None).data["services"] == DEFAULTS["services"]
    assert read("listen: {}").data["routes"] == DEFAULTS["routes"]
    assert "routes" not in read("services: {}").data
    assert read(None, ("services.auth.strategy", "y")).data["services"]["auth"] == {"strategy": "y"}
    assert DEFAULTS["services"]["auth"]["strategy"] == "x"


def test_later_sources_win() -> None:
    document = read("a: {b: 1, c: 1, d: 1}", ("a.d", "3"), QUAYMASTER__A__C="2", QUAYMASTER__A__D="2")
    assert document.data["a"] == {"b": 1, "c": "2", "d": "3"}
    assert document.origins["a", "c"] == "set by QUAYMASTER__A__C"
    assert document.origins["a", "d"] == "set by --set a.d"


def test_an_alias_is_a_copy() -> None:
    document = read("a: &x {b: 1}\nc: *x", ("a.b", "2"))
    assert (document.data["a"], document.data["c"]) == ({"b": "2"}, {"b": 1})


def test_an_alias_that_holds_itself_is_a_problem() -> None:
    problems = read("listen: &x {a: *x}").problems
    assert problems[0] == Problem("listen", "is nested more than 32 levels deep")


def test_aliases_that_unfold_are_bounded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    problems = read("\n".join(lines)).problems
    assert problems == [Problem("", f"holds more than {MAX_VALUES} values")]


def test_secrets_have_a_variable_each() -> None:
    data = read(None, JWT_SECRET="j", INTERNAL_KEY="i", HANDLER_SECRET="h", CONSUL_HTTP_TOKEN="c").data
    assert [data["identity"], data["internal"], data["handlers"], data["registry"]] == [
        {"secret": "j"},
        {"key": "i"},
        {"secret": "h"},
        {"token": "c"},
    ]
    assert read("handlers: null", HANDLER_SECRET="h").data["handlers"] is None
    assert read("identity: {secret: own}", JWT_SECRET="j").data["identity"] == {"secret": "own"}
    assert read("identity: {algorithms: [EdDSA]}", JWT_SECRET="j").data["identity"] == {
        "algorithms": ["EdDSA"]
    }


@pytest.mark.parametrize("text", ["a: [", "7", "[]", "text"])
def test_a_text_that_is_no_mapping_is_one_problem(text: str) -> None:
    document = read(text, ("a", "b"))
    assert len(document.problems) == 1
    assert document.data == {}
