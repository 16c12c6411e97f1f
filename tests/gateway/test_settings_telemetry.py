"""What operators get to see: what the sections refuse, and what they hide."""

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.settings_telemetry import (
    CacheSettings,
    DocsSettings,
    HealthSettings,
    LoggingSettings,
    ProbeSettings,
    TracingSettings,
)
from gateway.settings_types import Section


@pytest.mark.parametrize(
    ("section", "values", "key"),
    [
        (LoggingSettings, {"level": "loud"}, "level"),
        (LoggingSettings, {"sample": 1.5}, "sample"),
        (TracingSettings, {"endpoint": "otel:4318"}, "endpoint"),
        (HealthSettings, {"aliases": ["api/health"]}, "aliases"),
        (HealthSettings, {"aliases": ["/api/*"]}, "aliases"),
        (HealthSettings, {"services": "all"}, "services"),
        (ProbeSettings, {"url": "localhost:5432"}, "url"),
        (ProbeSettings, {"url": "tcp://localhost"}, "url"),
        (ProbeSettings, {"url": "ftp://localhost/"}, "url"),
        (DocsSettings, {"access": "user"}, "access"),
        (CacheSettings, {"max_bytes": 0}, "max_bytes"),
        (CacheSettings, {"backend": "disk"}, "backend"),
        (CacheSettings, {"url": "http://localhost"}, "url"),
    ],
)
def test_what_a_section_refuses(section: type[Section], values: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as raised:
        section.model_validate(values)
    assert raised.value.errors()[0]["loc"][0] == key


@pytest.mark.parametrize(
    "url",
    [
        "tcp://localhost:25",
        "https://api.example.org/health",
        "redis://localhost:6379/0",
        "postgresql+asyncpg://user:pass@db:5432/gateway_db",
    ],
)
def test_what_can_be_probed_and_that_its_password_is_hidden(url: str) -> None:
    probe = ProbeSettings.model_validate({"url": url})
    assert probe.url is not None
    assert probe.url.get_secret_value() == url
    assert url not in repr(probe)


def test_a_probe_whose_variable_nobody_has_set_is_none() -> None:
    assert ProbeSettings.model_validate({"url": ""}).url is None


def test_a_cache_may_have_a_redis_of_its_own_whose_password_is_hidden() -> None:
    cache = CacheSettings.model_validate({"backend": "redis", "url": "redis://:secret@cache:6379/0"})
    assert cache.url is not None
    assert cache.url.get_secret_value() == "redis://:secret@cache:6379/0"
    assert "secret" not in repr(cache)
    assert CacheSettings.model_validate({"url": ""}).url is None
