"""The part of the settings about callers: whose tokens are believed, and what is read from them.

Rules of this file: as in settings_model.py.
"""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from balancer.headers import GUARDED
from gateway.settings_types import (
    Bytes,
    Cidr,
    Count,
    Header,
    HttpUrl,
    InstancePath,
    Listed,
    LongSecret,
    Name,
    NotEmpty,
    Seconds,
    SecondsOrZero,
    Secret,
    Section,
    Text,
)

LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
HMAC = {"HS256": 32, "HS384": 48, "HS512": 64}
"""Bytes that a secret needs at least: as many as the signature has (RFC 7518, 3.2)."""

Algorithm = Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"]
Claim = Annotated[str, Field(min_length=1, max_length=128)]


class IntrospectionSettings(Section):
    """For tokens that only their issuer understands: it is asked about each of them."""

    service: Name = "auth"
    path: InstancePath = "/token_check"
    method: Literal["GET", "POST"] = "GET"
    """GET asks by the query, POST by a form in the body, which no log shows."""
    token_parameter: Annotated[str, Field(min_length=1)] = "token"
    uid_parameter: str = "uid"
    """What the request's `uid` goes by, which is then the user's name. Empty: the answer names the user."""
    timeout_s: Seconds = 2
    cache_s: SecondsOrZero = 10
    """How long a good answer is believed; 0 asks every time."""
    max_cached: Count = 10_000


class RevocationSettings(Section):
    """Tokens that are no longer good although they have not expired."""

    store_down: Literal["fail_open", "fail_closed"] = "fail_open"
    """While the store can't be read: believe what is known, or refuse every token with 503."""
    refresh_s: Annotated[float, Field(ge=0.05, le=1)] = 0.5
    """How often a shared store is asked what other gateways have revoked."""
    max_tokens: Count = 100_000
    """Kept at a time; beyond, those that expire first are forgotten first."""


class IdentitySettings(Section):
    mode: Literal["token", "introspect"] = "token"
    """Whether tokens are verified here, or by asking the service that has made them."""
    algorithms: Annotated[tuple[Algorithm, ...], NotEmpty] = ("HS256",)
    secret: LongSecret = None
    """For HS256, at least 32 bytes; 48 for HS384 and 64 for HS512."""
    public_key: Text = None
    """PEM, for RS…, ES… and EdDSA."""
    public_key_file: Text = None
    """A file with that PEM instead."""
    jwks_url: HttpUrl = None
    """Where the issuer publishes its keys instead, so that it can change them."""
    jwks_refresh_s: Seconds = 300
    """How old a key set may get before it is fetched anew; for unknown keys at most every 30 s."""
    introspection: IntrospectionSettings = IntrospectionSettings()
    """For mode: introspect."""
    issuer: Text = None
    audience: Text = None
    leeway_s: SecondsOrZero = 30
    max_token_bytes: Annotated[Bytes, Field(ge=256, le=65_536)] = 8192
    user_claim: Annotated[tuple[Claim, ...], NotEmpty] = ("sub", "uid", "user_id")
    """The first of these that a token has names its user."""
    roles_claim: tuple[Claim, ...] = ("roles", "role")
    """The first of these that a token has: a list of roles, or one. `a.b` is also the `b` in object `a`."""
    scopes_claim: tuple[Claim, ...] = ("scope", "scopes", "scp")
    """The first of these that a token has: a list of scopes, or text with spaces between them."""
    tier_claim: Claim = "tier"
    claim_headers: dict[Header, Claim] = Field(default_factory=dict)
    """Verified claims that instances get, as {X-User-Roles: roles}; from clients they are removed."""
    revocation: RevocationSettings = RevocationSettings()

    @field_validator("algorithms")
    @classmethod
    def _one_kind_of_key(cls, algorithms: tuple[str, ...]) -> tuple[str, ...]:
        if HMAC.keys() & set(algorithms) and set(algorithms) - HMAC.keys():
            raise ValueError(
                "HS256 can't stand beside an algorithm with a public key: whoever has that key could sign"
            )
        return algorithms

    @field_validator("secret")
    @classmethod
    def _secret_is_used(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        symmetric = HMAC.keys() & set(info.data.get("algorithms", HMAC))
        if secret and not symmetric:
            raise ValueError("is for HS256, HS384 and HS512: leave it out, or set algorithms to one of them")
        if secret and "algorithms" in info.data:
            size, needed = len(secret.get_secret_value().encode()), max(HMAC[name] for name in symmetric)
            if size < needed:
                raise ValueError(f"is {size} bytes long and must have at least {needed} for {max(symmetric)}")
        return secret

    @field_validator("public_key", "public_key_file", "jwks_url")
    @classmethod
    def _public_key_is_used(cls, key: str | None, info: ValidationInfo) -> str | None:
        if key and HMAC.keys() & set(info.data.get("algorithms", ())):
            raise ValueError("is for RS, ES and EdDSA: set algorithms to what the issuer uses, as in [RS256]")
        return key

    @field_validator("public_key_file")
    @classmethod
    def _one_public_key(cls, file: str | None, info: ValidationInfo) -> str | None:
        if file and info.data.get("public_key"):
            raise ValueError("set public_key or public_key_file, not both")
        return file

    @field_validator("jwks_url")
    @classmethod
    def _one_source_of_keys(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url and (info.data.get("public_key") or info.data.get("public_key_file")):
            raise ValueError("set jwks_url or a public key, not both")
        return url

    @field_validator("claim_headers")
    @classmethod
    def _only_ours_to_give(cls, headers: dict[str, str]) -> dict[str, str]:
        plain = [name.lower().replace("_", "-") for name in headers]
        if len(set(plain)) < len(plain):
            raise ValueError("names a header twice: neither case nor _ for - makes a difference")
        for name in plain:
            if name.encode() in GUARDED or name.startswith("x-quaymaster-"):
                raise ValueError(f"{name} is the gateway's own to set")
        return headers

    @property
    def symmetric(self) -> bool:
        return bool(HMAC.keys() & set(self.algorithms))

    @property
    def has_key(self) -> bool:
        """Whether tokens can be verified at all."""
        if self.mode == "introspect":
            return True
        if self.symmetric:
            return bool(self.secret)
        return bool(self.public_key or self.public_key_file or self.jwks_url)


class InternalSettings(Section):
    networks: Annotated[tuple[Cidr, ...], Listed] = LOOPBACK
    """Who needs no key."""
    key: Secret = None
    """What X-Internal-Key must hold from elsewhere."""

    @field_validator("key")
    @classmethod
    def _not_guessable(cls, key: SecretStr | None) -> SecretStr | None:
        if key and len(key.get_secret_value()) < 16:
            raise ValueError("must have at least 16 characters")
        return key


class RequireSettings(Section):
    """What a route's users must have besides a good token."""

    roles: tuple[Claim, ...] = ()
    """One of these."""
    scopes: tuple[Claim, ...] = ()
    """All of these."""
