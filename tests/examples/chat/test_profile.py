from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.chat.profile import (
    Credentials,
    Invalid,
    Profile,
    SignUp,
    read_credentials,
    read_sign_up,
    read_text,
)
from tests.examples.chat.clients import person


def test_the_request_of_the_specification_is_read() -> None:
    assert read_sign_up(person()) == SignUp(
        "user@example.com", "username", "password", Profile("male", 25, (20, 30), "female")
    )


BAD = [
    ("email", None, "is missing"),
    ("email", 7, "must be a text"),
    ("email", "", "must not be empty"),
    ("email", "no-at-sign", 'must look like "user@example.com"'),
    ("email", "two@@example.com", 'must look like "user@example.com"'),
    ("email", "a@nodot", 'must look like "user@example.com"'),
    ("email", "a b@example.com", 'must look like "user@example.com"'),
    ("email", "a@example.com\nx", 'must look like "user@example.com"'),
    ("email", "a" * 250 + "@b.cd", "must have 3 to 254 characters"),
    ("username", None, "is missing"),
    ("username", "x", "must have 2 to 32 characters"),
    ("username", "x" * 33, "must have 2 to 32 characters"),
    ("username", " ann", "must hold printable characters, with no space at either end"),
    ("username", "an\x00n", "must hold printable characters, with no space at either end"),
    ("username", "ann\u202eevil", "must hold printable characters, with no space at either end"),
    ("username", ["ann"], "must be a text"),
    ("password", None, "is missing"),
    ("password", "short", "must have 8 to 128 characters"),
    ("password", "x" * 129, "must have 8 to 128 characters"),
    ("password", 12345678, "must be a text"),
    ("sex", None, "is missing"),
    ("sex", "Male", "must be one of male, female, other"),
    ("sex", "any", "must be one of male, female, other"),
    ("sex", True, "must be a text"),
    ("age", None, "is missing"),
    ("age", 17, "must be a whole number from 18 to 120"),
    ("age", 121, "must be a whole number from 18 to 120"),
    ("age", 25.0, "must be a whole number from 18 to 120"),
    ("age", "25", "must be a whole number from 18 to 120"),
    ("age", True, "must be a whole number from 18 to 120"),
    ("preferred_age", None, "is missing"),
    ("preferred_age", 20, "must be a text"),
    ("preferred_age", "30-20", 'must be two ages from 18 to 120, like "20-30"'),
    ("preferred_age", "17-30", 'must be two ages from 18 to 120, like "20-30"'),
    ("preferred_age", "20-121", 'must be two ages from 18 to 120, like "20-30"'),
    ("preferred_age", "20 - 30", 'must be two ages from 18 to 120, like "20-30"'),
    ("preferred_age", "²0-30", 'must be two ages from 18 to 120, like "20-30"'),
    ("preferred_age", "20-30-40", "must have 3 to 7 characters"),
    ("preferred_sex", None, "is missing"),
    ("preferred_sex", "both", "must be one of male, female, other, any"),
]


@pytest.mark.parametrize(("field", "value", "problem"), BAD)
def test_a_wrong_field_is_named_with_its_remedy(field: str, value: Any, problem: str) -> None:
    assert read_sign_up(person(**{field: value})) == Invalid({field: problem})


def test_all_problems_come_at_once_and_each_names_its_field() -> None:
    found = read_sign_up({"age": 3})
    assert isinstance(found, Invalid)
    assert set(found.problems) == {
        "email", "username", "password", "sex", "age", "preferred_age", "preferred_sex",
    }  # fmt: skip
    assert "email: is missing; username: is missing" in found.message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(person())), json_values))
def test_no_json_breaks_the_readers(body: dict[str, object]) -> None:
    """Whatever comes, the answer is a person or a list of problems, and a person keeps the rules."""
    found = read_sign_up(body)
    if isinstance(found, SignUp):
        low, high = found.profile.preferred_ages
        assert 18 <= low <= high <= 120
        assert 18 <= found.profile.age <= 120
    else:
        assert found.problems
    assert isinstance(read_credentials(body), Credentials | Invalid)


def test_one_email_is_one_email_however_it_is_written() -> None:
    signed_up = read_sign_up(person("User@Example.COM"))
    logs_in = read_credentials({"email": " user@example.com ", "password": "x"})
    assert isinstance(signed_up, SignUp)
    assert isinstance(logs_in, Credentials)
    assert signed_up.email == logs_in.email


def test_a_single_text() -> None:
    assert read_text({"uid": "abc"}, "uid", 3) == "abc"
    assert read_text({"uid": "abcd"}, "uid", 3) == Invalid({"uid": "must have 1 to 3 characters"})
    assert read_text({}, "uid", 3) == Invalid({"uid": "is missing"})
