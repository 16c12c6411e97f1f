"""Reports of microservices, as they are written."""

import json
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from gateway.peer_messages import PeerOutcome, PeerReport

REPORT = {"service_name": "auth", "id": "a", "outcome": "timeout"}


@pytest.mark.parametrize("outcome", get_args(PeerOutcome))
def test_every_outcome_but_ok_counts_against_the_instance(outcome: str) -> None:
    assert PeerReport.model_validate(REPORT | {"outcome": outcome}).ok is (outcome == "ok")


def test_an_instance_is_named_by_its_id_its_url_or_both() -> None:
    assert PeerReport.model_validate(REPORT).url is None
    assert PeerReport.model_validate({"service_name": "auth", "url": "u", "outcome": "ok"}).id is None


def test_what_a_newer_caller_adds_is_ignored() -> None:
    assert PeerReport.model_validate(REPORT | {"took_s": 3}).id == "a"


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "connect failed"},
        {"outcome": "OK"},
        {"outcome": True},
        {"outcome": None},
        {"service_name": ""},
        {"service_name": 7},
        {"id": ""},
        {"id": 7},
        {"id": "x" * 2049},
        {"url": ["http://a:1"]},
    ],
)
def test_anything_else_is_refused_by_its_field(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        PeerReport.model_validate_json(json.dumps(REPORT | change))
    assert {error["loc"][0] for error in refused.value.errors()} == set(change)
