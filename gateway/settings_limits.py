"""The part of the settings about how often somebody may call, and from which page.

Rules of this file: as in settings_model.py.
"""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from gateway.settings_types import (
    Cidr,
    CountOrZero,
    Header,
    Listed,
    Method,
    Origin,
    Seconds,
    Section,
)


class LimitRuleSettings(Section):
    """One limit more. A request counts against every rule it falls under, or against none."""

    requests: CountOrZero
    window_s: Seconds | None = None
    """Null: limits.window_s."""
    per: Literal["caller", "address", "user", "everybody"] = "caller"
    """A caller is its user where a token says so, else its address; everybody together is one count."""
    tiers: dict[str, CountOrZero | None] = Field(default_factory=dict)
    """Instead of `requests`, by the token's tier; null is unlimited."""


class LimitsSettings(Section):
    """Requests per sliding window; null is unlimited."""

    window_s: Seconds = 60
    per_address: CountOrZero | None = 1000
    """Callers without a verified token."""
    per_user: CountOrZero | None = 1000
    tiers: dict[str, CountOrZero | None] = Field(default_factory=dict)
    """Instead of per_user, by the token's tier."""
    rules: tuple[LimitRuleSettings, ...] = ()
    """More limits, for all routes together."""
    exempt: Annotated[tuple[Cidr, ...], Listed] = ()
    """Networks whose callers are not counted."""
    fail_mode: Literal["share", "open", "closed"] = "share"
    """While a shared store does not answer: each gateway allows its share of the limit, or all, or nobody."""
    headers: tuple[Literal["x", "ietf"], ...] = ("x",)
    """`X-RateLimit-*`, the IETF draft's `RateLimit` and `RateLimit-Policy`, both, or none."""
    reset: Literal["delta", "epoch"] = "delta"
    """Whether `X-RateLimit-Reset` says in how many seconds, or at which Unix second."""


class CorsSettings(Section):
    origins: Annotated[tuple[Origin, ...], Listed] = ()
    """`https://example.org`, `https://*.example.org` for its subdomains, or `*`."""
    methods: Annotated[tuple[Method, ...], Listed] = ()
    """Empty: whatever a preflight asks for."""
    headers: Annotated[tuple[Header, ...], Listed] = ()
    """Empty: whatever a preflight asks for."""
    expose: Annotated[tuple[Header, ...], Listed] = ()
    """Headers of instances that a page may read, beside the gateway's own."""
    credentials: bool = False
    max_age_s: Annotated[int, Field(ge=0, le=86_400)] = 600

    @field_validator("credentials")
    @classmethod
    def _not_for_everybody(cls, credentials: bool, info: ValidationInfo) -> bool:
        if credentials and "*" in info.data.get("origins", ()):
            raise ValueError("can't be true while origins has *: list the origins that may send credentials")
        return credentials
