"""What a route changes in requests and answers: what the sections refuse."""

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from gateway.settings_shaping import (
    FRAMING,
    OURS,
    AnswerShapingSettings,
    RedirectSettings,
    RespondSettings,
    RouteCacheSettings,
    SubsetSettings,
    VersionSettings,
    VersionsSettings,
    header_problem,
)
from gateway.settings_types import Section


@pytest.mark.parametrize(
    ("section", "values", "named"),
    [
        (AnswerShapingSettings, {"set_headers": {"Content-Length": "1"}}, "set_headers"),
        (AnswerShapingSettings, {"set_headers": {"X-A": "a\r\nb"}}, "set_headers"),
        (AnswerShapingSettings, {"remove_headers": ["transfer-encoding"]}, "remove_headers"),
        (RespondSettings, {"status": 101}, "status"),
        (RespondSettings, {"headers": {"Content-Type": "text/html"}}, "headers"),
        (RespondSettings, {"content_type": "text/html\r\nX-A: b"}, "content_type"),
        (RedirectSettings, {"to": "/new", "status": 200}, "status"),
        (SubsetSettings, {"tag": "v2", "weight": 101}, "weight"),
        (SubsetSettings, {"tag": "v2", "value": "always"}, "value"),
        (SubsetSettings, {"tag": "two words"}, "tag"),
        (VersionsSettings, {"to": {}}, "to"),
        (RouteCacheSettings, {"ttl_s": -1}, "ttl_s"),
    ],
)
def test_what_a_section_refuses(section: type[Section], values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError) as raised:
        section.model_validate(values)
    assert raised.value.errors()[0]["loc"][0] == named


def test_a_version_leads_somewhere_and_the_default_is_one_of_them() -> None:
    with pytest.raises(ValidationError, match="must name a service, a tag, or both"):
        VersionSettings.model_validate({})
    with pytest.raises(ValidationError, match="default is 3, which `to` does not name"):
        VersionsSettings.model_validate({"default": "3", "to": {"2": {"tag": "v2"}}})


def test_what_is_wrong_with_headers_is_said_without_their_value() -> None:
    assert header_problem({"X-A": SecretStr("fine")}, OURS) is None
    assert header_problem({"X-User-Id": SecretStr("u")}, OURS) == "X-User-Id is the gateway's own to set"
    assert header_problem({"X-User-Id": SecretStr("u")}, FRAMING) is None
    assert "secr\u00e9t" not in str(header_problem({"X-A": SecretStr("secr\u00e9t")}, OURS))


@pytest.mark.parametrize("status", [204, 205, 304])
def test_an_answer_that_can_have_no_body_is_given_none(status: int) -> None:
    assert RespondSettings(status=status).status == status
    with pytest.raises(ValidationError, match=f"{status} has no body"):
        RespondSettings(status=status, body="x")


@pytest.mark.parametrize(
    ("to", "origin", "path"),
    [
        ("/new", "", "/new"),
        ("https://new.example", "https://new.example", "/"),
        ("https://new.example/", "https://new.example", "/"),
        ("https://new.example/a/{id}", "https://new.example", "/a/{id}"),
    ],
)
def test_a_redirect_has_an_origin_and_a_path(to: str, origin: str, path: str) -> None:
    redirect = RedirectSettings(to=to)
    assert (redirect.origin, redirect.path) == (origin, path)
