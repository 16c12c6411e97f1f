"""`quaymaster proxy` as settings."""

import pytest

from gateway.proxy_settings import proxy_settings
from gateway.settings import Problems, Settings, load_settings


def loaded(listen: str, *to: str, strategy: str = "round_robin") -> Settings | Problems:
    text = proxy_settings(listen, to, strategy)
    assert text is not None
    return load_settings(text, environment={})


def test_all_paths_go_to_the_given_addresses_and_nothing_else_is_needed() -> None:
    settings = loaded("0.0.0.0:8080", ":9001", "10.0.0.5:9002")
    assert isinstance(settings, Settings)
    assert (settings.listen.host, settings.listen.port) == ("0.0.0.0", 8080)
    assert settings.services["proxy"].instances == ("http://127.0.0.1:9001", "http://10.0.0.5:9002")
    assert settings.services["proxy"].strategy == "round_robin"
    assert [(route.path, route.access) for route in settings.routes] == [("/*", "public")]
    assert settings.handlers is None
    assert settings.registry.backend == "static"
    assert settings.limits.per_address is None


def test_ipv6_addresses_keep_their_brackets_where_urls_need_them() -> None:
    settings = loaded("[::1]:8080", "[::1]:9001")
    assert isinstance(settings, Settings)
    assert settings.listen.host == "::1"
    assert settings.services["proxy"].instances == ("http://[::1]:9001",)


@pytest.mark.parametrize("bad", ["8080", "host", ":0", ":65536", "http://host:1", "a b:1", "", ":"])
def test_what_is_no_address_makes_no_settings(bad: str) -> None:
    assert proxy_settings(bad, [":9001"], "round_robin") is None
    assert proxy_settings(":8080", [":9001", bad], "round_robin") is None


def test_a_proxy_to_nowhere_makes_no_settings() -> None:
    assert proxy_settings(":8080", [], "round_robin") is None


def test_an_unknown_strategy_is_a_problem_with_its_key() -> None:
    problems = loaded(":8080", ":9001", strategy="fastest")
    assert isinstance(problems, Problems)
    assert "services.proxy.strategy" in str(problems)
