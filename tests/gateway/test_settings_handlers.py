"""The pools of handlers: their limits, and that what stands above them holds for all."""

from dataclasses import asdict
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.settings import HandlersSettings, Problems, Settings, json_schema, load_settings
from gateway.settings_handlers import DEFAULT_POOL, HandlerPoolSettings
from handlers.model import PoolSettings

ENVIRONMENT = {"JWT_SECRET": "j" * 32}


def handlers(**keys: Any) -> HandlersSettings:
    return HandlersSettings.model_validate(keys)


def problems(text: str) -> dict[str, str]:
    found = load_settings(text, environment=ENVIRONMENT)
    assert isinstance(found, Problems), "these are good"
    return {problem.key: problem.message for problem in found.items}


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"ticket_s": 5, "guaranteed_s": 6}, "ticket_s"),
        ({"expose": "somehow"}, "expose"),
        ({"public_url": "https://chat.example.org"}, "public_url"),
        ({"expose": "tunnel", "public_url": "chat.example.org"}, "public_url"),
        ({"expose": "tunnel", "public_url": "https://chat.example.org/x"}, "public_url"),
        ({"previous_secret": "p" * 32}, "previous_secret"),
        ({"secret": "p" * 32, "previous_secret": "p" * 32}, "previous_secret"),
        ({"secret": "s" * 32, "previous_secret": "short"}, "previous_secret"),
        ({"capacity": 0}, "capacity"),
        ({"joins_per_s": 0}, "joins_per_s"),
        ({"joins_burst": 0}, "joins_burst"),
        ({"slow_start_s": -1}, "slow_start_s"),
        ({"drain_s": 0}, "drain_s"),
        ({"affinity": -0.1}, "affinity"),
        ({"affinity": 1.1}, "affinity"),
        ({"dead_after_s": 0.09}, "dead_after_s"),
        ({"joins_per_s": 0.009}, "joins_per_s"),
        ({"rebalance": "perhaps"}, "rebalance"),
        ({"pools": ["chat"]}, "pools"),
        ({"pools": {"a/b": {}}}, "pools"),
        ({"pools": {"chat": None}}, "pools"),
        ({"pools": {"chat": {"secret": "s" * 32}}}, "pools"),
    ],
)
def test_what_is_refused(values: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as raised:
        handlers(**values)
    assert raised.value.errors()[0]["loc"][0] == key


def test_the_defaults_are_those_of_their_users() -> None:
    assert handlers().pool() == PoolSettings()


def test_every_key_reaches_the_seats() -> None:
    values = {
        "capacity": 2,
        "guaranteed_s": 3,
        "ticket_s": 4,
        "dead_after_s": 5,
        "seats_per_user": 6,
        "joins_per_s": 7,
        "joins_burst": 8,
        "slow_start_s": 9,
        "drain_s": 10,
        "affinity": 0.5,
    }
    assert asdict(handlers(**values).pool("chat")).items() >= ({"name": "chat"} | values).items()


def test_without_pools_there_is_one() -> None:
    for settings in (handlers(service="ws"), handlers(service="ws", pools={})):
        (name, pool), *others = settings.by_pool().items()
        assert (name, pool.service, others) == (DEFAULT_POOL, "ws", [])
        assert settings.service_keys() == {"handlers.service": "ws"}


def test_a_pool_says_only_what_is_its_own() -> None:
    settings = handlers(
        capacity=7, joins_per_s=9, pools={"chat": {"service": "a"}, "feed": {"service": "b", "capacity": 8}}
    )
    pools = settings.by_pool()
    assert {name: (p.service, p.capacity, p.joins_per_s) for name, p in pools.items()} == {
        "chat": ("a", 7, 9),
        "feed": ("b", 8, 9),
    }
    assert settings.service_keys() == {
        "handlers.pools.chat.service": "a",
        "handlers.pools.feed.service": "b",
    }


def test_a_pool_is_judged_with_what_stands_above_it() -> None:
    settings = handlers(guaranteed_s=5, pools={"chat": {"ticket_s": 8}})
    assert settings.by_pool()["chat"].ticket_s == 8
    found = problems("handlers: {guaranteed_s: 30, pools: {chat: {ticket_s: 20}}}")
    assert set(found) == {"handlers.pools.chat.ticket_s"}


def test_a_pool_has_no_secret_of_its_own() -> None:
    for key in ("secret", "previous_secret"):
        (found,) = problems(f"handlers: {{pools: {{chat: {{{key}: {'s' * 32}}}}}}}").values()
        assert f"set handlers.{key}" in found


def test_two_pools_can_not_share_a_service() -> None:
    found = problems("handlers: {pools: {chat: {}, feed: {}, news: {service: news}}}")
    assert found == {
        "handlers.pools": "chat and feed have the same service, websocket-handler: give each pool its own"
    }


def test_a_mistake_above_the_pools_is_told_of_once() -> None:
    found = problems("handlers: {capacity: 0, pools: {chat: {service: a}, feed: {service: b, joins: 1}}}")
    assert set(found) == {"handlers.capacity", "handlers.pools.feed.joins"}
    assert "did you mean joins_" in found["handlers.pools.feed.joins"]


def test_an_override_reaches_a_pool() -> None:
    settings = load_settings(
        "handlers: {pools: {chat: {service: a}, feed: {service: b}}}",
        environment=ENVIRONMENT | {"QUAYMASTER__HANDLERS__POOLS__FEED__CAPACITY": "5"},
        overrides=[("handlers.pools.chat.drain_s", "60")],
    )
    assert isinstance(settings, Settings), settings
    assert settings.handlers is not None
    pools = settings.handlers.by_pool()
    assert (pools["feed"].capacity, pools["chat"].drain_s) == (5, 60)


def test_the_schema_knows_every_key_and_promises_a_pool_no_defaults() -> None:
    schemas = json_schema()["$defs"]
    assert schemas["HandlersSettings"]["properties"]["capacity"]["default"] == 1000
    pool = schemas["OnePoolSettings"]["properties"]
    assert pool.keys() == HandlerPoolSettings.model_fields.keys()
    assert not any("default" in key for key in pool.values())
