"""The pools of WebSocket handlers, as the operator wrote them.

Rules of this file: the keys of `handlers` are those of every pool that does not say otherwise, and are laid
under each pool's own before that is judged. So a pool is judged by what it will be, and afterwards nobody
needs to know where a value came from.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from gateway.settings_types import (
    Count,
    LongSecret,
    Name,
    PublicUrl,
    Rate,
    Seconds,
    SecondsOrZero,
    Section,
    Share,
)
from handlers.model import PoolSettings

DEFAULT_POOL = "default"
"""The name of the only pool, while `pools` names none."""


class HandlerPoolSettings(Section):
    service: Name = "websocket-handler"
    """The registry name of the WebSocket handlers."""
    capacity: Count = 1000
    """Of a handler that does not say."""
    guaranteed_s: Seconds = 12
    """How long a seat is kept for its client."""
    ticket_s: Seconds = 60
    """How long a ticket is good for."""
    dead_after_s: Annotated[Seconds, Field(ge=0.1)] = 3
    """A handler that is silent for longer gets no clients."""
    expose: Literal["direct", "tunnel"] = "direct"
    """Whether clients connect to a handler's own URL, or to this gateway, which tunnels to that handler."""
    public_url: PublicUrl = None
    """With `tunnel`: where clients reach the gateways; null: by the name they asked for it."""
    seats_per_user: Count = 5
    """Seats a user may hold unused. At the limit the oldest past `guaranteed_s` gives way; else it is 429."""
    joins_per_s: Annotated[Rate, Field(ge=0.01)] = 200
    """Clients that one handler takes in per second; more are told when to come back."""
    joins_burst: Count = 50
    """Clients that it takes in at once."""
    slow_start_s: SecondsOrZero = 30
    """Over so long a new process comes up to `joins_per_s`; 0: at once."""
    drain_s: Seconds = 30
    """How long a handler in the registry's maintenance has until its clients are to be elsewhere."""
    affinity: Share = 0.1
    """A client goes back to its handler while that has at most this share more load than the least."""
    rebalance: bool = False
    """Whether handlers with too many clients move some to new ones, a few a second."""

    @field_validator("public_url")
    @classmethod
    def _is_of_a_tunnel(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is not None and info.data.get("expose") == "direct":
            raise ValueError("needs expose: tunnel; a handler that is reached directly says its own")
        return url

    @field_validator("ticket_s")
    @classmethod
    def _outlives_the_guarantee(cls, ticket_s: float, info: ValidationInfo) -> float:
        if ticket_s < info.data.get("guaranteed_s", 0):
            raise ValueError("is shorter than guaranteed_s: a seat would outlive its ticket")
        return ticket_s

    def pool(self, name: str = DEFAULT_POOL) -> PoolSettings:
        """This section as seats are handed out by it."""
        return PoolSettings(
            name=name,
            capacity=self.capacity,
            guaranteed_s=self.guaranteed_s,
            ticket_s=self.ticket_s,
            dead_after_s=self.dead_after_s,
            seats_per_user=self.seats_per_user,
            joins_per_s=self.joins_per_s,
            joins_burst=self.joins_burst,
            slow_start_s=self.slow_start_s,
            drain_s=self.drain_s,
            affinity=self.affinity,
        )


def _without_defaults(schema: dict[str, Any]) -> None:
    for key in schema["properties"].values():
        key.pop("default", None)


class OnePoolSettings(HandlerPoolSettings):
    """One of many pools. What it does not say stands in `handlers`."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    @model_validator(mode="before")
    @classmethod
    def _has_no_secret_of_its_own(cls, data: Any) -> Any:
        for key in ("secret", "previous_secret"):
            if isinstance(data, dict) and key in data:
                raise ValueError(f"{key} is shared by all pools: set handlers.{key}")
        return data


class HandlersSettings(HandlerPoolSettings):
    """Every pool, and what they share."""

    secret: LongSecret = None
    """Signs tickets; made at start unless the store is shared."""
    previous_secret: LongSecret = None
    """The secret before it: its tickets stay good while they last."""
    pools: dict[Name, OnePoolSettings] = Field(default_factory=dict)
    """Several kinds of handlers, each with a service of its own; asked for by `?pool=`. Empty: one pool."""

    @model_validator(mode="before")
    @classmethod
    def _pools_begin_with_our_keys(cls, data: Any) -> Any:
        pools = data.get("pools") if isinstance(data, dict) else None
        if not isinstance(pools, dict):
            return data
        ours = _sound({key: data[key] for key in data.keys() & OnePoolSettings.model_fields.keys()})
        whole = {name: ours | pool if isinstance(pool, dict) else pool for name, pool in pools.items()}
        return data | {"pools": whole}

    @field_validator("pools")
    @classmethod
    def _each_has_its_own_service(cls, pools: dict[str, OnePoolSettings]) -> dict[str, OnePoolSettings]:
        for service, count in Counter(pool.service for pool in pools.values()).items():
            if count > 1:
                names = " and ".join(name for name, pool in pools.items() if pool.service == service)
                raise ValueError(f"{names} have the same service, {service}: give each pool its own")
        return pools

    @field_validator("previous_secret")
    @classmethod
    def _comes_after_another(cls, previous: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if previous and "secret" in info.data and info.data["secret"] in (None, previous):
            raise ValueError("needs a `secret` that replaces it")
        return previous

    def by_pool(self) -> Mapping[str, HandlerPoolSettings]:
        """Every pool by its name."""
        return self.pools or {DEFAULT_POOL: self}

    def service_keys(self) -> Mapping[str, str]:
        """Every pool's service, by the key that names it."""
        if not self.pools:
            return {"handlers.service": self.service}
        return {f"handlers.pools.{name}.service": pool.service for name, pool in self.pools.items()}


def _sound(keys: dict[str, Any]) -> dict[str, Any]:
    """Without what is wrong, which is told of once, where it stands."""
    try:
        HandlerPoolSettings.model_validate(keys)
    except ValidationError as error:
        wrong = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
        return {key: value for key, value in keys.items() if key not in wrong}
    return keys
