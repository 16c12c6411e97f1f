"""Path patterns: what they are made of, and which of them are refused."""

import pytest

from gateway.patterns import Literal, Name, Pattern, decoded, parse_pattern, split


def parsed(text: str) -> Pattern:
    pattern = parse_pattern(text)
    assert isinstance(pattern, Pattern), pattern
    return pattern


def test_the_parts_of_a_pattern() -> None:
    assert parsed("/users/{id}/*") == Pattern((Literal("users"), Name("id")), rest=True)
    assert parsed("/") == Pattern((Literal(""),), rest=False)
    assert parsed("/*") == Pattern((), rest=True)
    assert parsed("/a/") == Pattern((Literal("a"), Literal("")), rest=False)


def test_only_plain_text_is_exact() -> None:
    assert parsed("/a/b").exact
    assert not parsed("/a/{b}").exact
    assert not parsed("/a/*").exact


def test_patterns_that_match_the_same_paths_have_the_same_shape() -> None:
    assert parsed("/a/{x}").shape == parsed("/a/{y}").shape
    assert parsed("/%61/{x}").shape == parsed("/a/{x}").shape
    assert len({parsed(text).shape for text in ("/a", "/a/", "/a/*", "/a/{x}", "/{x}", "/*", "/")}) == 7


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "*", "a/*", "//", "/a//b", "/a/../b", "/a%2fb", "/a b", "/a?b", "/a#b", "/é", "/a\\b"),
        *("/a*", "/*/a", "/a/**", "/{}", "/{1}", "/{a", "/x{a}", "/{a}/{a}", "/{a.b}"),
    ],
)
def test_what_is_no_pattern_is_told_why(text: str) -> None:
    assert isinstance(parse_pattern(text), str)


def test_filling_a_pattern() -> None:
    assert parsed("/v2/{b}/{a}").fill(["1", "2"], []) == "/v2/1/2"
    assert parsed("/v2/*").fill([], ["x", ""]) == "/v2/x/"
    assert parsed("/v2").fill([], ["ignored"]) == "/v2"


def test_segments_are_decoded_once() -> None:
    assert decoded("%61%2562") == "a%62"
    assert decoded("%ff") == "\xff"
    assert decoded("plain") == "plain"


def test_splitting() -> None:
    assert split("/") == [""]
    assert split("/a/b/") == ["a", "b", ""]
