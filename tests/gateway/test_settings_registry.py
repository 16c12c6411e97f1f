"""The registry's section: what it refuses, and what backends are told by it."""

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.settings_registry import RegistrySettings
from registry.backends import BACKENDS
from registry.backends.base import BackendSettings
from registry.model import ServiceName


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"backend": "consull"}, "backend"),
        ({"backend": "consul", "address": "127.0.0.1:0"}, "address"),
        ({"advertise_address": "a:1"}, "advertise_address"),
        ({"scheme": "https"}, "scheme"),
        ({"backend": "consul", "scheme": "https", "cert_file": "a"}, "key_file"),
        ({"backend": "consul", "scheme": "https", "key_file": "a"}, "key_file"),
        ({"backend": "consul", "ca_file": "a"}, "key_file"),
        ({"fallback_addresses": ["a:1"]}, "fallback_addresses"),
        ({"backend": "consul", "fallback_addresses": ["a:0"]}, "fallback_addresses"),
        ({"backend": "consul", "fallback_addresses": ["a:1", "a:1"]}, "fallback_addresses"),
        (
            {"backend": "consul", "address": "a:1", "fallback_addresses": ["a:1"]},
            "fallback_addresses",
        ),
        ({"snapshot_file": "a"}, "snapshot_file"),
        ({"backend": "static", "snapshot_file": "a"}, "snapshot_file"),
        ({"wait_s": 601}, "wait_s"),
        ({"register_as": "a/b"}, "register_as"),
    ],
)
def test_what_can_not_work_is_refused_by_its_key(values: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as raised:
        RegistrySettings.model_validate(values)
    assert raised.value.errors()[0]["loc"][0] == key


def test_backends_come_from_the_table() -> None:
    for name in BACKENDS:
        assert RegistrySettings.model_validate({"backend": name}).backend == name


def test_several_agents_and_a_last_good_state_are_for_a_registry_that_may_be_down() -> None:
    RegistrySettings(
        backend="consul", address="a:1", fallback_addresses=("b:1", "c:1"), snapshot_file="/var/lib/last.json"
    )


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
    fixed: dict[ServiceName, tuple[str, ...]] = {ServiceName("b"): ("http://127.0.0.1:1",)}
    assert settings.backend_settings(fixed) == BackendSettings(
        address="consul.example.org:8501",
        fallback_addresses=("consul2.example.org:8501",),
        token="t",
        scheme="https",
        ca_file="ca.pem",
        cert_file="cert.pem",
        key_file="key.pem",
        allowed_networks=("10.0.0.0/8",),
        wait_s=5,
        static=fixed,
    )


def test_the_defaults_are_those_of_the_backends() -> None:
    assert RegistrySettings().backend_settings({}) == BackendSettings()


def test_the_gateway_need_not_register_itself() -> None:
    assert RegistrySettings().register_as == "quaymaster"
    assert RegistrySettings(register_as=None).register_as is None
    assert RegistrySettings.model_validate({"register_as": ""}).register_as is None
