"""Who may use what is internal."""

from ipaddress import ip_network

from gateway.runtime.internal_callers import is_internal_call
from tests.gateway.runtime.gateways import KEY, exchange_for, unsent_request

LOOPBACK, ELSEWHERE = (ip_network("127.0.0.0/8"),), (ip_network("10.0.0.0/8"),)


def judged(networks: object, key: str = "", **headers: str) -> bool:
    exchange = exchange_for(unsent_request("GET", "/metrics", **headers))
    return is_internal_call(exchange, networks, key)  # type: ignore[arg-type]  # ip_network's union


def test_an_address_or_the_key_is_enough() -> None:
    assert judged(LOOPBACK)
    assert not judged(ELSEWHERE)
    assert judged(ELSEWHERE, KEY, X_Internal_Key=KEY)
    assert not judged(ELSEWHERE, KEY, X_Internal_Key=KEY[:-1])
    assert not judged(ELSEWHERE, "", X_Internal_Key="")


def test_a_page_in_a_browser_on_this_machine_is_not() -> None:
    assert not judged(LOOPBACK, Origin="https://evil.example.org")


def test_who_was_judged_is_judged_anew_for_another_host() -> None:
    exchange = exchange_for(unsent_request("GET", "/metrics"))
    assert is_internal_call(exchange, LOOPBACK, "")
    assert exchange.head.internal == (exchange.target.host, True)
    assert is_internal_call(exchange, ELSEWHERE, ""), "the same client to the same host, judged before"
