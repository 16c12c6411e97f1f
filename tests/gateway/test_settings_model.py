"""The sections, one by one: their defaults are DESIGN 4's, and their own checks."""

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.limiters import LIMITERS
from gateway.settings_model import (
    CorsSettings,
    IdentitySettings,
    InternalSettings,
    ListenSettings,
    LoggingSettings,
    RegistrySettings,
    Settings,
    StoreSettings,
)
from gateway.settings_services import ServiceSettings
from gateway.settings_types import Section
from handlers.stores import STORES
from registry.backends import BACKENDS
from registry.backends.base import BackendSettings
from registry.model import ServiceName

SECRET = "a secret of no less than 32 bytes"


@pytest.mark.parametrize(
    ("section", "values", "key"),
    [
        (ListenSettings, {"host": ""}, "host"),
        (ListenSettings, {"drain_s": -1}, "drain_s"),
        (RegistrySettings, {"backend": "consull"}, "backend"),
        (RegistrySettings, {"backend": "consul", "address": "127.0.0.1:0"}, "address"),
        (RegistrySettings, {"advertise_address": "a:1"}, "advertise_address"),
        (RegistrySettings, {"scheme": "https"}, "scheme"),
        (RegistrySettings, {"backend": "consul", "scheme": "https", "cert_file": "a"}, "key_file"),
        (RegistrySettings, {"backend": "consul", "scheme": "https", "key_file": "a"}, "key_file"),
        (RegistrySettings, {"backend": "consul", "ca_file": "a"}, "key_file"),
        (RegistrySettings, {"fallback_addresses": ["a:1"]}, "fallback_addresses"),
        (RegistrySettings, {"backend": "consul", "fallback_addresses": ["a:0"]}, "fallback_addresses"),
        (RegistrySettings, {"backend": "consul", "fallback_addresses": ["a:1", "a:1"]}, "fallback_addresses"),
        (
            RegistrySettings,
            {"backend": "consul", "address": "a:1", "fallback_addresses": ["a:1"]},
            "fallback_addresses",
        ),
        (RegistrySettings, {"snapshot_file": "a"}, "snapshot_file"),
        (RegistrySettings, {"backend": "static", "snapshot_file": "a"}, "snapshot_file"),
        (RegistrySettings, {"wait_s": 601}, "wait_s"),
        (RegistrySettings, {"register_as": "a/b"}, "register_as"),
        (StoreSettings, {"backend": "nowhere"}, "backend"),
        (IdentitySettings, {"algorithms": []}, "algorithms"),
        (IdentitySettings, {"algorithms": ["none"]}, "algorithms"),
        (IdentitySettings, {"algorithms": ["HS256", "RS256"]}, "algorithms"),
        (IdentitySettings, {"algorithms": ["RS256"], "secret": SECRET}, "secret"),
        (IdentitySettings, {"public_key": "x"}, "public_key"),
        (IdentitySettings, {"public_key_file": "x"}, "public_key_file"),
        (
            IdentitySettings,
            {"algorithms": ["RS256"], "public_key": "x", "public_key_file": "x"},
            "public_key_file",
        ),
        (IdentitySettings, {"user_claim": []}, "user_claim"),
        (InternalSettings, {"key": "k" * 15}, "key"),
        (CorsSettings, {"origins": ["*"], "credentials": True}, "credentials"),
        (CorsSettings, {"origins": ["example.org"]}, "origins"),
        (LoggingSettings, {"level": "loud"}, "level"),
    ],
)
def test_what_a_section_refuses(section: type[Section], values: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as raised:
        section.model_validate(values)
    assert raised.value.errors()[0]["loc"][0] == key


def test_several_agents_and_a_last_good_state_are_for_a_registry_that_may_be_down() -> None:
    RegistrySettings(
        backend="consul", address="a:1", fallback_addresses=("b:1", "c:1"), snapshot_file="/var/lib/last.json"
    )


def test_names_come_from_the_tables() -> None:
    for name in BACKENDS:
        assert RegistrySettings.model_validate({"backend": name}).backend == name
    for name in STORES:
        assert StoreSettings(backend=name).backend == name


def test_a_store_that_counts_no_requests_leaves_that_to_each_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a seat store is one file and one line, as DESIGN 7 promises."""
    for name in STORES:
        assert StoreSettings(backend=name).limiter == (name if name in LIMITERS else "memory")
    monkeypatch.setitem(STORES, "seats-only", "handlers.stores.seats_only")
    assert StoreSettings(backend="seats-only").limiter == "memory"


def test_a_registry_over_tls() -> None:
    settings = RegistrySettings.model_validate(
        {
            "backend": "consul",
            "address": "consul.example.org:8501",
            "fallback_addresses": ["consul2.example.org:8501"],
            "scheme": "https",
            "ca_file": "ca.pem",
            "cert_file": "cert.pem",
            "key_file": "key.pem",
            "token": "t",
            "allowed_networks": ["10.0.0.0/8"],
            "wait_s": 5,
        }
    )
    services = {
        "a": ServiceSettings(),
        "b": ServiceSettings.model_validate({"instances": ["http://127.0.0.1:1"]}),
    }
    assert settings.backend_settings(services) == BackendSettings(
        address="consul.example.org:8501",
        fallback_addresses=("consul2.example.org:8501",),
        token="t",
        scheme="https",
        ca_file="ca.pem",
        cert_file="cert.pem",
        key_file="key.pem",
        allowed_networks=("10.0.0.0/8",),
        wait_s=5,
        static={ServiceName("b"): ("http://127.0.0.1:1",)},
    )


def test_the_defaults_of_the_sections_are_those_of_their_users() -> None:
    assert RegistrySettings().backend_settings({}) == BackendSettings()


def test_the_gateway_need_not_register_itself() -> None:
    assert RegistrySettings().register_as == "quaymaster"
    assert RegistrySettings(register_as=None).register_as is None
    assert RegistrySettings.model_validate({"register_as": ""}).register_as is None


@pytest.mark.parametrize(
    ("values", "has_key"),
    [
        ({}, False),
        ({"secret": SECRET}, True),
        ({"algorithms": ["EdDSA"]}, False),
        ({"algorithms": ["EdDSA"], "public_key": "x"}, True),
        ({"algorithms": ["RS256", "ES256"], "public_key_file": "x"}, True),
    ],
)
def test_whether_tokens_can_be_verified(values: dict[str, Any], has_key: bool) -> None:
    assert IdentitySettings.model_validate(values).has_key is has_key


def test_every_section_is_strict_and_frozen() -> None:
    for field in Settings.model_fields.values():
        default = field.get_default(call_default_factory=True, validated_data={})
        if isinstance(default, Section):
            assert default.model_config["extra"] == "forbid"
            assert default.model_config["frozen"] is True
