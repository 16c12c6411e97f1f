"""Whose call is this? The client's address and scheme, behind proxies that are trusted, and no others.

Rules of this file: `X-Forwarded-For` and `Forwarded` are read from the right, hop by hop, for as long as the
hop that wrote them is trusted. Whatever can't be read makes the socket's peer the client: a made-up header
must never choose whom limits count or who is internal. Where both are there, they must lead to the same
client: a proxy writes one of them and may pass on a client's own other one, and nobody knows which.
"""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import chain

from gateway.forwarded import hops
from gateway.target import split_host

RELAY_SIGNS = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")
"""Headers that say: this peer speaks for somebody else."""

MAX_HOPS = 32
"""More than any chain of trusted proxies has; what stands left of them is not read."""

MAX_HOP = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535")

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Client:
    """Who calls, as far as it can be believed."""

    address: str
    """In its shortest form; `unknown` for a peer without an address (a Unix socket)."""
    scheme: str
    """`http` or `https`: how the client spoke to the first hop that is trusted."""
    relayed: bool = False
    """A proxy that is not trusted says it speaks for somebody else: nobody knows for whom."""
    peer_trusted: bool = field(default=False, compare=False)
    """The peer is one of the trusted proxies: what it says of the client is believed."""


def find_client(
    peer: str,
    forwarded_for: Sequence[str],
    forwarded_proto: Sequence[str],
    trusted: Sequence[Network],
    scheme: str = "http",
    *,
    forwarded: Sequence[str] = (),
    relay_signs: bool = False,
) -> Client:
    """The client of a request from `peer` with these values of `X-Forwarded-For`, `-Proto` and `Forwarded`.

    `relay_signs` says whether any other of `RELAY_SIGNS` was there.
    """
    relayed = relay_signs or bool(forwarded_for) or bool(forwarded)
    here = parse_address(peer)
    if here is None or not is_in(here, trusted):
        return _by_its_socket(peer, scheme, relayed)
    said = [hop for value in forwarded_for for hop in value.split(",")] if forwarded_for else []
    schemes = {_scheme(forwarded_proto)}
    found = {_walk(here, map(_of_list, reversed(said)), trusted)} if said else set()
    if forwarded:
        elements = hops(forwarded)
        nearest = next(elements)
        found.add(_walk(here, (hop.address if hop else "" for hop in chain((nearest,), elements)), trusted))
        schemes.add(nearest.scheme if nearest else "")
    spoken = schemes - {""}
    client = next(iter(found), here) if len(found) <= 1 else None
    return Client(
        str(client or here),
        spoken.pop() if len(spoken) == 1 else scheme,
        relayed=client is None,
        peer_trusted=True,
    )


def _walk(here: Address, said: Iterable[str], trusted: Sequence[Network]) -> Address | None:
    """From hop to hop, as far as the one that names the next is trusted; `None` if it can't be read."""
    client = here
    for number, hop in enumerate(said):
        address = parse_address(hop) if number < MAX_HOPS else None
        if address is None:
            return None
        client = address
        if not is_in(client, trusted):
            break
    return client


def _of_list(hop: str) -> str:
    """One hop of `X-Forwarded-For`, empty if it is too long to be one."""
    hop = hop.strip()
    return _without_port(hop) if len(hop) <= MAX_HOP else ""


@lru_cache(maxsize=4096)
def _by_its_socket(peer: str, scheme: str, relayed: bool) -> Client:
    """A client of whom nothing else is believed. Remembered: to write an address takes long."""
    here = parse_address(peer)
    return Client("unknown" if here is None else str(here), scheme, relayed=relayed)


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address | None:
    """An address without zone; IPv4 in IPv6 clothes (`::ffff:…`) is IPv4. Remembered: clients come back."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_internal(client: Client, networks: Sequence[Network]) -> bool:
    """Whether the client's address alone lets it use internal endpoints.

    Never when the call was relayed: a proxy on this machine that is not in `listen.trusted_proxies`
    would otherwise make the whole world loopback.
    """
    address = parse_address(client.address)
    return address is not None and not client.relayed and is_in(address, networks)


def may_speak_for_a_page(client: Client, host: str, origin: str | None, fetch_site: str | None) -> bool:
    """Whether a browser may have sent this on behalf of a page that is not ours.

    A browser on this machine calls from loopback whatever page it shows, and sends simple POSTs without
    asking, so there an address alone is no proof. `Origin` and `Sec-Fetch-Site` tell of another site. A
    name that its owner has pointed at loopback (DNS rebinding) makes both look like our own, so on
    loopback `host` must be `localhost` or an address: those can't be pointed anywhere.
    """
    if fetch_site in ("cross-site", "same-site"):
        return True
    if origin is not None and origin.partition("://")[2].lower() != host:
        return True
    address = parse_address(client.address)
    return address is not None and address.is_loopback and bool(host) and not _means_this_machine(host)


def _means_this_machine(host: str) -> bool:
    found = split_host(host)
    return found is not None and (found[0] == "localhost" or parse_address(found[0]) is not None)


def internal_key_matches(given: str | None, key: str) -> bool:
    """Whether `X-Internal-Key` holds the key, in time that does not tell how much of it is right."""
    if not key or given is None:
        return False
    return hmac.compare_digest(given.encode(errors="surrogateescape"), key.encode())


@lru_cache(maxsize=4096)
def limit_key(address: str) -> str:
    """What requests are counted under: an IPv6 client owns a whole /64 and could use all of it."""
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return address if parsed is None else str(parsed)


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    """Whether the address belongs to one of the networks."""
    return bool(networks) and any(address in network for network in networks)


def _without_port(hop: str) -> str:
    """`1.2.3.4:5678` -> `1.2.3.4`, `[::1]:80` -> `::1`; anything else as it is."""
    if hop.startswith("["):
        inside, bracket, port = hop[1:].partition("]")
        return inside if bracket and (not port or (port[1:].isdecimal() and port[0] == ":")) else ""
    host, colon, port = hop.partition(":")
    return host if colon and port.isdecimal() else hop


def _scheme(values: Sequence[str]) -> str:
    """What the nearest proxy says, empty if nothing; the others' words may be the client's own."""
    last = values[-1].rpartition(",")[2].strip().lower() if values else ""
    return last if last in ("http", "https") else ""
