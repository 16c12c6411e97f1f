import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.agent import decode
from registry.agent.decode import BadBody, parse_object, read_fields

FIELDS = {
    "Name": decode.text,
    "Port": decode.whole,
    "On": decode.boolean,
    "Tags": decode.texts,
    "Meta": decode.text_map,
    "Header": decode.header_map,
    "TTL": decode.duration,
    "Check": decode.nested({"Note": decode.text}),
    "Checks": decode.listed({"Note": decode.text}),
    "Places": decode.mapped({"Port": decode.whole}),
    "Other": decode.anything,
}


def test_keys_match_in_any_case_and_null_is_absent() -> None:
    assert read_fields({"nAmE": "x", "PORT": 5, "tags": None}, FIELDS) == {"Name": "x", "Port": 5}


def test_every_kind_of_field() -> None:
    value = {
        "Name": "x",
        "Port": 5,
        "On": True,
        "Tags": ["a", None],
        "Meta": {"k": "v", "n": None},
        "Header": {"X": ["1", "2"], "Y": None},
        "TTL": "10s",
        "Check": {"note": "n"},
        "Checks": [{"Note": "a"}, None],
        "Places": {"lan": {"Port": 1}, "wan": None},
        "Other": [1],
    }
    assert read_fields(value, FIELDS) == {
        "Name": "x",
        "Port": 5,
        "On": True,
        "Tags": ("a", ""),
        "Meta": {"k": "v", "n": ""},
        "Header": {"X": ("1", "2"), "Y": ()},
        "TTL": 10.0,
        "Check": {"Note": "n"},
        "Checks": [{"Note": "a"}, {}],
        "Places": {"lan": {"Port": 1}, "wan": {}},
        "Other": [1],
    }


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"Name": 5}, "cannot unmarshal number into Go struct field .Name of type string"),
        ({"Port": "80"}, "cannot unmarshal string into Go struct field .Port of type int"),
        ({"Port": 80.5}, "cannot unmarshal number into Go struct field .Port of type int"),
        ({"Port": True}, "cannot unmarshal bool into Go struct field .Port of type int"),
        ({"On": "x"}, "cannot unmarshal string into Go struct field .On of type bool"),
        ({"Tags": "t"}, "cannot unmarshal string into Go struct field .Tags of type []string"),
        ({"Tags": [5]}, "cannot unmarshal number into Go struct field .Tags of type string"),
        ({"Meta": {"a": 1}}, "cannot unmarshal number into Go struct field .Meta of type string"),
        ({"Header": {"a": "b"}}, "cannot unmarshal string into Go struct field .Header"),
        ({"Check": []}, "cannot unmarshal array into Go struct field .Check"),
        ({"Checks": {}}, "cannot unmarshal object into Go struct field .Checks"),
        ({"Places": {"lan": "x"}}, "cannot unmarshal string into Go struct field .Places"),
        ({"TTL": "10"}, 'time: missing unit in duration "10"'),
        ({"Check": {"Bogus": 1}}, 'unknown field "Bogus"'),
        ({"Bogus": None}, 'unknown field "Bogus"'),
    ],
)
def test_what_does_not_fit_is_named(value: dict[str, Any], named: str) -> None:
    with pytest.raises(BadBody) as caught:
        read_fields(value, FIELDS)
    assert str(caught.value).startswith("Request decode failed: ")
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("body", "named"),
    [(b"", "EOF"), (b" ", "EOF"), (b"{bad", ""), (b'{"a":1', ""), (b"[]", "array"), (b'"x"', "string")],
)
def test_a_body_that_is_no_object(body: bytes, named: str) -> None:
    with pytest.raises(BadBody, match=f"^Request decode failed: .*{named}"):
        parse_object(body)


@pytest.mark.parametrize(
    "body",
    [rb'{"a": "\ud800"}', rb'{"a": "\udc00"}', rb'{"\ud800": 1}', rb'{"a": ["\ud800x"]}', b'{"a": "\xff"}'],
)
def test_text_that_no_answer_could_hold_is_a_bad_body(body: bytes) -> None:
    with pytest.raises(BadBody, match=r"^Request decode failed: .+"):
        parse_object(body)


@pytest.mark.parametrize("number", [2**63, 2**64, 2**70, -(2**63) - 1])
def test_a_number_beyond_64_bits_is_refused_and_the_field_named(number: int) -> None:
    with pytest.raises(BadBody, match=r"cannot unmarshal number into Go struct field \.Port of type int"):
        read_fields(parse_object(b'{"Port": %d}' % number), FIELDS)


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_a_number_of_64_bits_is_read(number: int) -> None:
    assert read_fields(parse_object(b'{"Port": %d}' % number), FIELDS) == {"Port": number}


def test_deep_nesting_is_a_bad_body_and_no_crash() -> None:
    with pytest.raises(BadBody):
        parse_object(b"[" * 100_000)


def test_null_is_an_empty_object() -> None:
    assert parse_object(b"null") == {}


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    try:
        assert isinstance(parse_object(body), dict)
    except BadBody:
        pass


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*FIELDS, "Bogus"]), json_values, max_size=4))
def test_any_object_is_read_or_refused(value: dict[str, Any]) -> None:
    try:
        read_fields(json.loads(json.dumps(value)), FIELDS)
    except BadBody:
        pass
