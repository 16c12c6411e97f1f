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
