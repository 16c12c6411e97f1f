"""docs/limits.md: its examples are settings, its 429 is the gateway's, and no key is missing."""

import json
import re

import pytest
import yaml

from gateway.client_address import Client
from gateway.limits import kind_of, plan_of, rules_for, too_often
from gateway.settings import CorsSettings, LimitsSettings, Settings, load_settings
from gateway.settings_limits import LimitRuleSettings
from gateway.windows import Rule, Verdict
from tests.project.source import ROOT

PAGE = (ROOT / "docs" / "limits.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def settings(example: str) -> Settings:
    document = {
        "identity": {"secret": "a secret of the page, long enough"},
        "services": {name: {} for name in ("auth", "media", "search")},
        "routes": [],
        "handlers": None,
        **yaml.safe_load(example),
    }
    loaded = load_settings(json.dumps(document), environment={})
    assert isinstance(loaded, Settings), str(loaded)
    return loaded


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.splitlines()[0].strip())
def test_an_example_is_valid(example: str) -> None:
    settings(example)


def test_every_key_is_there() -> None:
    keys = {*LimitsSettings.model_fields, *LimitRuleSettings.model_fields, *CorsSettings.model_fields}
    keys |= {"trusted_proxies", "proxy_protocol", "allowed_hosts"}
    assert {key for key in keys if not re.search(rf"\b{key}\b", PAGE)} == set()


def test_the_refusal_is_as_it_says() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    body = json.loads(shown)
    error = too_often(Verdict(Rule("a", 60, 60.0), False, 0, 42.0, 42.0))
    assert (body["error"], body["message"], body["reason"]) == (error.error, error.message, error.reason)
    assert (("retry_after", body["retry_after"]),) == error.more


def test_the_kinds_are_those_that_are_counted() -> None:
    example = settings(next(text for text in EXAMPLES if "rules:" in text))
    kinds = set()
    for route in example.routes:
        plan = plan_of(example.limits, route)
        assert plan is not None
        kinds |= {kind_of(rule) for rule in rules_for(plan, Client("192.0.2.1", "http"), None)}
    assert kinds == {"address", "route", "global"}
    assert all(f"`{kind}`" in PAGE for kind in (*kinds, "user", "tier"))
