"""How often somebody may call, and from which page: what the sections refuse."""

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.settings_limits import CorsSettings, LimitRuleSettings, LimitsSettings
from gateway.settings_types import Section


@pytest.mark.parametrize(
    ("section", "values", "key"),
    [
        (LimitsSettings, {"per_address": -1}, "per_address"),
        (LimitsSettings, {"fail_mode": "maybe"}, "fail_mode"),
        (LimitsSettings, {"exempt": ["10.0.0.1/8"]}, "exempt"),
        (LimitsSettings, {"headers": ["y"]}, "headers"),
        (LimitRuleSettings, {"per": "user"}, "requests"),
        (LimitRuleSettings, {"requests": 1, "per": "moon"}, "per"),
        (CorsSettings, {"origins": ["*"], "credentials": True}, "credentials"),
        (CorsSettings, {"origins": ["example.org"]}, "origins"),
        (CorsSettings, {"origins": ["https://*.*.example.org"]}, "origins"),
    ],
)
def test_what_a_section_refuses(section: type[Section], values: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as raised:
        section.model_validate(values)
    assert raised.value.errors()[0]["loc"][0] == key


def test_origins_may_be_one_text_as_in_an_environment() -> None:
    read = CorsSettings.model_validate({"origins": "http://localhost:3000,https://*.example.org"})
    assert read.origins == ("http://localhost:3000", "https://*.example.org")
    assert CorsSettings.model_validate({"origins": ""}).origins == ()
