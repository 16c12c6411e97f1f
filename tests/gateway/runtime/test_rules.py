"""What the settings say of requests, made ready."""

from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as elliptic
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.runtime.rules import build_verifier, rules_of
from registry.runtime.clock import unix_now
from tests.gateway.runtime.gateways import KEY, settings_of


def test_rules_hold_what_a_request_is_judged_by() -> None:
    settings = settings_of(internal={"key": KEY}, cors={"origins": ["https://chat.example"]})
    rules = rules_of(settings, [])
    assert rules.internal_key == KEY
    assert rules.cors is not None
    assert rules.cors.answer_headers("https://evil.example") == (("Vary", "Origin"),)
    assert rules.settings is settings


def test_without_origins_and_key_there_is_nothing_to_compare() -> None:
    rules = rules_of(settings_of(), [])
    assert (rules.internal_key, rules.cors) == ("", None)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("as_file", [True, False])
def test_tokens_are_checked_with_a_public_key(algorithm: str, as_file: bool, tmp_path: Path) -> None:
    keys = {
        "RS256": lambda: rsa(65537, 2048),
        "ES256": lambda: elliptic(SECP256R1()),
        "EdDSA": Ed25519PrivateKey.generate,
    }
    private: Any = keys[algorithm]()
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    file = tmp_path / "key.pem"
    file.write_text(pem)
    key = {"public_key_file": str(file)} if as_file else {"public_key": pem}
    verifier = build_verifier(settings_of(identity={"algorithms": [algorithm], "secret": None, **key}))
    assert verifier is not None
    now = unix_now()
    good = jwt.encode({"sub": "ada", "exp": now + 60}, private, algorithm)
    assert getattr(verifier.verify(good, now), "id", None) == "ada"


def test_without_a_key_nobody_is_checked() -> None:
    routes = [{"path": "/*", "service": "auth", "access": "public"}]
    assert build_verifier(settings_of(identity={"secret": None}, routes=routes)) is None
