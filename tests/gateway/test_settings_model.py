"""The sections, one by one: their defaults are DESIGN 4's, and their own checks."""

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.limiters import LIMITERS
from gateway.settings_model import ListenSettings, Settings, StoreSettings
from gateway.settings_types import Section
from handlers.stores import STORES


@pytest.mark.parametrize(
    ("section", "values", "key"),
    [
        (ListenSettings, {"host": ""}, "host"),
        (ListenSettings, {"drain_s": -1}, "drain_s"),
        (StoreSettings, {"backend": "nowhere"}, "backend"),
        (ListenSettings, {"proxy_protocol": True}, "proxy_protocol"),
        (ListenSettings, {"allowed_hosts": ["API.example.org"]}, "allowed_hosts"),
        (ListenSettings, {"allowed_hosts": ["api.example.org:80"]}, "allowed_hosts"),
    ],
)
def test_what_a_section_refuses(section: type[Section], values: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as raised:
        section.model_validate(values)
    assert raised.value.errors()[0]["loc"][0] == key


def test_names_come_from_the_tables() -> None:
    for name in STORES:
        assert StoreSettings(backend=name).backend == name


def test_a_store_that_counts_no_requests_leaves_that_to_each_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a seat store is one file and one line, as DESIGN 7 promises."""
    for name in STORES:
        assert StoreSettings(backend=name).limiter == (name if name in LIMITERS else "memory")
    monkeypatch.setitem(STORES, "seats-only", "handlers.stores.seats_only")
    assert StoreSettings(backend="seats-only").limiter == "memory"


def test_every_section_is_strict_and_frozen() -> None:
    for field in Settings.model_fields.values():
        default = field.get_default(call_default_factory=True, validated_data={})
        if isinstance(default, Section):
            assert default.model_config["extra"] == "forbid"
            assert default.model_config["frozen"] is True
