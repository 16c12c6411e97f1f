"""Who may use what is internal: callers from certain networks, and whoever has the key."""

from collections.abc import Sequence

from gateway.client_address import internal_key_matches, is_internal, may_speak_for_a_page
from gateway.runtime.exchange import Exchange
from gateway.settings import Network


def is_internal_call(exchange: Exchange, networks: Sequence[Network], key: str) -> bool:
    """Judged once for as long as a client repeats its headers and the host it asks."""
    head, host = exchange.head, exchange.target.host
    if head.internal is None or head.internal[0] != host:
        head.internal = (host, _judge(exchange, networks, key))
    return head.internal[1]


def _judge(exchange: Exchange, networks: Sequence[Network], key: str) -> bool:
    if internal_key_matches(exchange.header("X-Internal-Key"), key):
        return True
    host, origin, site = exchange.target.host, exchange.header("Origin"), exchange.header("Sec-Fetch-Site")
    if may_speak_for_a_page(exchange.client, host, origin, site):
        return False
    return is_internal(exchange.client, networks)
