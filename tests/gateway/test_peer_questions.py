"""What microservices ask, as it stands in a query."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.peer_questions import MAX_EXCLUDED, PeerQuestion, read_question
from registry.model import ServiceName

AUTH = ServiceName("auth")


def problem(query: str) -> str:
    """The reason and the text of a refusal."""
    refused = read_question(query)
    assert isinstance(refused, GatewayError)
    assert refused.status == 400
    return f"{refused.reason}: {refused.message}"


@pytest.mark.parametrize(
    ("query", "question"),
    [
        ("?service_name=auth", PeerQuestion(AUTH)),
        ("?a=b&service_name=auth&service_name=other&c", PeerQuestion(AUTH)),
        ("?service_name=auth&exclude=a", PeerQuestion(AUTH, frozenset({"a"}))),
        (
            "?service_name=auth&exclude=a,b&exclude=http%3A%2F%2Fh:1",
            PeerQuestion(AUTH, frozenset({"a,b", "a", "b", "http://h:1"})),
        ),
        ("?service_name=auth&exclude=&exclude=,", PeerQuestion(AUTH, frozenset({","}))),
        ("?service_name=auth&wait=0", PeerQuestion(AUTH)),
        ("?service_name=auth&index=7", PeerQuestion(AUTH, index=7)),
        ("?service_name=auth&wait=30&index=0", PeerQuestion(AUTH, wait_s=30.0, index=0)),
        ("?service_name=auth&wait=0.25&index=7", PeerQuestion(AUTH, wait_s=0.25, index=7)),
        ("?service_name=auth&wait=60&index=7", PeerQuestion(AUTH, wait_s=60.0, index=7)),
    ],
)
def test_a_question_is_read(query: str, question: PeerQuestion) -> None:
    assert read_question(query) == question


@pytest.mark.parametrize("query", ["", "?", "?service_name=", "?service=auth", "?SERVICE_NAME=auth"])
def test_a_service_is_named(query: str) -> None:
    assert problem(query).startswith("missing_parameter: service_name is missing")


@pytest.mark.parametrize("name", ["../kv", "a%2Fb", "auth+", "%20auth", "%C3%A9", "a" * 129, "auth%0d%0a"])
def test_what_can_be_no_services_name_is_refused(name: str) -> None:
    assert problem(f"?service_name={name}").startswith("bad_parameter: service_name must be")


@pytest.mark.parametrize("wait", ["", "-1", "61", "60.1", "1e1", "nan", "inf", "30s", "٣", "1.", "1.1234567"])
def test_a_wait_is_seconds_up_to_a_minute(wait: str) -> None:
    assert problem(f"?service_name=auth&index=1&wait={wait}") == (
        "bad_parameter: wait must be seconds, from 0 to 60."
    )


@pytest.mark.parametrize("index", ["", "-1", "1.5", "x", "1" * 19])
def test_an_index_is_one_of_ours(index: str) -> None:
    assert problem(f"?service_name=auth&index={index}").startswith("bad_parameter: index must be")


def test_who_waits_says_what_it_knows() -> None:
    assert problem("?service_name=auth&wait=5").startswith("bad_parameter: index is missing")


def pairs(names: list[str]) -> str:
    return "&exclude=".join(",".join(names[n : n + 2]) for n in range(0, len(names), 2))


@pytest.mark.parametrize("written", ["&exclude=".join, ",".join, pairs])
def test_not_everybody_can_be_excluded(written: Callable[[list[str]], str]) -> None:
    names = [f"i{n}" for n in range(MAX_EXCLUDED)]
    found = read_question(f"?service_name=auth&exclude={written(names)}")
    assert isinstance(found, PeerQuestion)
    assert found.excluded >= set(names)
    assert problem(f"?service_name=auth&exclude={written([*names, 'one'])}").startswith(
        "bad_parameter: exclude must not name more than 64"
    )


def test_who_knows_something_else_does_not_wait() -> None:
    question = PeerQuestion(AUTH, wait_s=5.0, index=7)
    assert question.waits_at(7)
    assert not question.waits_at(6)
    assert not question.waits_at(8)
    assert not PeerQuestion(AUTH, index=7).waits_at(7)
    assert not PeerQuestion(AUTH).waits_at(0)


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=80))
def test_any_query_is_a_question_or_a_refusal(query: str) -> None:
    found = read_question(f"?service_name=auth&{query}")
    assert isinstance(found, GatewayError) or (found.service == AUTH and 0 <= found.wait_s <= 60)
