"""Whose tokens are believed: what the section refuses, and when there is a key."""

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.settings_identity import IdentitySettings, InternalSettings, IntrospectionSettings
from gateway.settings_types import Section

SECRET = "a secret of no less than 32 bytes"
KEYS = {"algorithms": ["RS256"], "public_key": "x"}


@pytest.mark.parametrize(
    ("section", "values", "key"),
    [
        (IdentitySettings, {"algorithms": []}, "algorithms"),
        (IdentitySettings, {"algorithms": ["none"]}, "algorithms"),
        (IdentitySettings, {"algorithms": ["HS256", "RS256"]}, "algorithms"),
        (IdentitySettings, {"algorithms": ["RS256"], "secret": SECRET}, "secret"),
        (IdentitySettings, {"algorithms": ["HS256"], "secret": "s" * 31}, "secret"),
        (IdentitySettings, {"algorithms": ["HS384"], "secret": "s" * 47}, "secret"),
        (IdentitySettings, {"algorithms": ["HS256", "HS512"], "secret": "s" * 63}, "secret"),
        (IdentitySettings, {"public_key": "x"}, "public_key"),
        (IdentitySettings, {"public_key_file": "x"}, "public_key_file"),
        (IdentitySettings, KEYS | {"public_key_file": "x"}, "public_key_file"),
        (IdentitySettings, KEYS | {"jwks_url": "https://issuer.example/keys"}, "jwks_url"),
        (IdentitySettings, {"jwks_url": "https://issuer.example/keys"}, "jwks_url"),
        (IdentitySettings, {"algorithms": ["RS256"], "jwks_url": "file:///etc/passwd"}, "jwks_url"),
        (IdentitySettings, {"algorithms": ["RS256"], "jwks_url": "https://me:pw@host/"}, "jwks_url"),
        (IdentitySettings, {"user_claim": []}, "user_claim"),
        (IdentitySettings, {"claim_headers": {"X-Roles": "roles", "x-roles": "role"}}, "claim_headers"),
        (IdentitySettings, {"claim_headers": {"X-Roles": "roles", "X_Roles": "role"}}, "claim_headers"),
        (IdentitySettings, {"claim_headers": {"X-User-Id": "email"}}, "claim_headers"),
        (IdentitySettings, {"claim_headers": {"x_user_id": "email"}}, "claim_headers"),
        (IdentitySettings, {"claim_headers": {"Connection": "sub"}}, "claim_headers"),
        (IdentitySettings, {"claim_headers": {"Content-Length": "sub"}}, "claim_headers"),
        (IdentitySettings, {"claim_headers": {"X-Quaymaster-Hop": "sub"}}, "claim_headers"),
        (IdentitySettings, {"claim_headers": {"X Roles": "roles"}}, "claim_headers"),
        (IntrospectionSettings, {"path": "token_check"}, "path"),
        (InternalSettings, {"key": "k" * 15}, "key"),
    ],
)
def test_what_a_section_refuses(section: type[Section], values: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as raised:
        section.model_validate(values)
    assert raised.value.errors()[0]["loc"][0] == key


@pytest.mark.parametrize(
    ("values", "has_key"),
    [
        ({}, False),
        ({"secret": SECRET}, True),
        ({"mode": "introspect"}, True),
        ({"algorithms": ["EdDSA"]}, False),
        ({"algorithms": ["EdDSA"], "public_key": "x"}, True),
        ({"algorithms": ["RS256", "ES256"], "public_key_file": "x"}, True),
        ({"algorithms": ["RS256"], "jwks_url": "https://issuer.example/keys"}, True),
    ],
)
def test_whether_tokens_can_be_verified(values: dict[str, Any], has_key: bool) -> None:
    assert IdentitySettings.model_validate(values).has_key is has_key


def test_networks_may_be_one_text_as_in_an_environment() -> None:
    read = InternalSettings.model_validate({"networks": "10.0.0.0/8, ::1/128"})
    assert list(map(str, read.networks)) == ["10.0.0.0/8", "::1/128"]
