"""`Cache-Control` as RFC 9111 writes it, and as people do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache_control import (
    LONGEST_S,
    MOST_READ,
    AnswerControl,
    RequestControl,
    directives,
    read_answer,
    read_request,
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", {}),
        (b" , ,, ", {}),
        (b"no-store", {b"no-store": [None]}),
        (b"No-Store , MAX-AGE=5", {b"no-store": [None], b"max-age": [b"5"]}),
        (b'max-age="5"', {b"max-age": [b"5"]}),
        (b'private="a, b", max-age=1', {b"private": [b"a, b"], b"max-age": [b"1"]}),
        (
            b'ext="say \\"no-store\\", please", public',
            {b"ext": [b'say "no-store", please'], b"public": [None]},
        ),
        (b"max-age=1, max-age=2", {b"max-age": [b"1", b"2"]}),
        (b"max-age = 5, public", {b"max-age": [None], b"public": [None]}),
        (b"=5, @, no-store", {b"no-store": [None]}),
        (b'ext="never ends, no-store', {b"ext": [None], b"no-store": [None]}),
    ],
)
def test_directives(text: bytes, said: dict[bytes, list[bytes | None]]) -> None:
    assert directives(text) == said


@pytest.mark.parametrize(
    ("lines", "control"),
    [
        ([], AnswerControl()),
        ([b"public, max-age=60"], AnswerControl(shared=True, max_age_s=60)),
        ([b"max-age=60", b"no-cache"], AnswerControl(no_cache=True, max_age_s=60)),
        ([b"max-age=60, s-maxage=5"], AnswerControl(shared=True, must_revalidate=True, max_age_s=5)),
        ([b"max-age=1, s-maxage=90"], AnswerControl(shared=True, must_revalidate=True, max_age_s=90)),
        ([b"max-age=60, must-revalidate"], AnswerControl(shared=True, must_revalidate=True, max_age_s=60)),
        ([b"proxy-revalidate"], AnswerControl(must_revalidate=True)),
        ([b'private="Set-Cookie"'], AnswerControl(private=True)),
        ([b'no-cache="Set-Cookie"'], AnswerControl(no_cache=True)),
        ([b"stale-if-error=30"], AnswerControl(stale_if_error_s=30)),
        ([b"max-age=10, max-age=5"], AnswerControl(max_age_s=5)),
        ([b"max-age"], AnswerControl(max_age_s=0)),
        ([b"max-age=-1"], AnswerControl(max_age_s=0)),
        ([b"max-age=1.5"], AnswerControl(max_age_s=0)),
        ([b"max-age=1e3"], AnswerControl(max_age_s=0)),
        ([b"max-age=99999999999999999999"], AnswerControl(max_age_s=LONGEST_S)),
        ([b"s-maxage=x, max-age=60"], AnswerControl(shared=True, must_revalidate=True, max_age_s=0)),
        ([b"immutable, no-transform, pre-check=0"], AnswerControl()),
        ([b"no_store", b"nostore"], AnswerControl()),
    ],
)
def test_what_an_answer_says(lines: list[bytes], control: AnswerControl) -> None:
    assert read_answer(lines) == control


@pytest.mark.parametrize(
    ("lines", "control"),
    [
        ([b"no-cache"], RequestControl(no_cache=True)),
        ([b"no-store, only-if-cached"], RequestControl(no_store=True, only_if_cached=True)),
        ([b"max-age=0"], RequestControl(max_age_s=0)),
        ([b"max-age=nonsense"], RequestControl(max_age_s=0)),
        ([b"min-fresh=20, min-fresh=10"], RequestControl(min_fresh_s=20)),
        ([b"min-fresh"], RequestControl(min_fresh_s=LONGEST_S)),
        ([b"max-stale"], RequestControl(max_stale_s=LONGEST_S)),
        ([b"max-stale=30"], RequestControl(max_stale_s=30)),
        ([b"max-stale=-3"], RequestControl(max_stale_s=0)),
        ([b"max-stale, max-stale=5"], RequestControl(max_stale_s=5)),
    ],
)
def test_what_a_request_says(lines: list[bytes], control: RequestControl) -> None:
    assert read_request(lines) == control


def test_pragma_is_what_old_clients_say() -> None:
    assert read_request((), b"No-Cache").no_cache
    assert not read_request((), b"").no_cache
    assert not read_request((b"max-age=5",), b"no-cache").no_cache


def test_who_says_too_much_is_not_read() -> None:
    long = b"a=" + b'"\\' * MOST_READ
    assert read_answer([long]).no_store
    assert read_request([long]) == RequestControl(no_store=True, no_cache=True)


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_nothing_makes_it_fail(lines: list[bytes]) -> None:
    read_answer(lines)
    read_request(lines)


QUOTED = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Z"]), max_size=20)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z-]{0,9}", fullmatch=True), st.none() | QUOTED, max_size=6))
def test_what_is_written_properly_is_read(said: dict[str, str | None]) -> None:
    def written(name: str, value: str | None) -> str:
        escaped = None if value is None else value.replace("\\", "\\\\").replace('"', '\\"')
        return name if escaped is None else f'{name}="{escaped}"'

    text = ", ".join(written(*pair) for pair in said.items()).encode()
    read = {name.decode(): values for name, values in directives(text).items()}
    assert read == {name: [None if value is None else value.encode()] for name, value in said.items()}


@given(st.sampled_from([b"no-store", b"private"]), st.lists(st.binary(max_size=40), max_size=3))
def test_company_never_hides_what_must_not_be_kept(word: bytes, others: list[bytes]) -> None:
    """Unless it is inside of quotes, of which these have none."""
    others = [other.replace(b'"', b"") for other in others]
    control = read_answer([*others, word, *others])
    assert control.no_store or control.private
