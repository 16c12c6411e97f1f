"""Where an instance may live.

A registry validates almost nothing: Consul accepts the cloud's metadata address, port -1 and
addresses that mean the gateway's own machine. Whoever may register could otherwise make the gateway
call anything it can reach. So a host is read here in one strict form, and the literal it stands for
is held against the policy. Resolving names is not done here: the caller brings the literals.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_MAX_NAME = 253

_SPECIAL: tuple[Network, ...] = (
    ip_network("127.0.0.0/8"),
    ip_network("::1/128"),
    ip_network("0.0.0.0/8"),  # "this network": Linux takes 0.0.0.0 for the own machine
    ip_network("169.254.0.0/16"),  # link-local; 169.254.169.254 answers with a cloud's credentials
    ip_network("fe80::/10"),
    ip_network("fd00:ec2::254/128"),  # the same service on AWS over IPv6,
    ip_network("100.100.100.200/32"),  # on Alibaba Cloud,
    ip_network("168.63.129.16/32"),  # and on Azure
    ip_network("240.0.0.0/4"),  # reserved and broadcast
    ip_network("::/96"),  # the rest carry an IPv4 address in them: IPv4-compatible,
    ip_network("64:ff9b::/96"),  # NAT64,
    ip_network("2002::/16"),  # 6to4,
    ip_network("2001::/32"),  # Teredo
)


@dataclass(frozen=True, slots=True)
class HostName:
    """A host that must be resolved before it can be judged."""

    name: str


def read_host(text: str) -> Address | HostName:
    """A strict literal or a plain DNS name. Raises `ValueError` that says what is wrong.

    Refused are the other spellings of IPv4 that some resolvers take (`127.1`, `0x7f000001`,
    `2130706433`, `010.0.0.1`): a check that reads them differently from the connecting side checks
    nothing. `::ffff:127.0.0.1` becomes the IPv4 address it means.
    """
    try:
        return _normal(ip_address(text))
    except ValueError:
        pass
    labels = text.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):  # the rule of the WHATWG URL standard: it "ends in a number"
        raise ValueError(f"{text[:64]!r} is neither a plain IP address nor a name")
    if len(text) > _MAX_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"{text[:64]!r} is neither an IP address nor a DNS name")
    return HostName(text)


def read_literal(text: str) -> Address:
    """The address a resolver answered. Raises `ValueError` when it is none."""
    return _normal(ip_address(text))


def _normal(address: Address) -> Address:
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError("an address with a zone means something on one machine only")
        return address.ipv4_mapped or address
    return address


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Which literals are believed. Build it with `address_policy`."""

    networks: tuple[Network, ...] = ()
    """Where instances may live; empty means anywhere but the special places."""
    loopback: bool = False
    """Whether the registry itself is on this machine, so that loopback means the same to both."""
    registries: tuple[tuple[str, int], ...] = ()
    """Where the registry's own API listens, as the settings say it: no instance may be there."""

    def refusal(self, address: Address) -> str | None:
        """Why an instance may not live there, `None` when it may.

        The special places (loopback, link-local with the clouds' metadata services, and so on) stay
        shut to a wide network like `0.0.0.0/0`; only a network that lies inside such a place opens it.
        """
        if address.is_unspecified or address.is_multicast:
            return f"{address} is no address of one host"
        inside = [network for network in self.networks if address in network]
        if any(_lies_in(network, special) for network in inside for special in _SPECIAL):
            return None
        if self.networks and not inside:
            return f"{address} is outside allowed_networks"
        if address.is_loopback:
            return None if self.loopback else f"{address} is loopback, and the registry is elsewhere"
        if any(address in special for special in _SPECIAL):
            return f"{address} is a special address: name it in allowed_networks if it is meant"
        return None

    def is_registry(self, address: Address, port: int, resolved: Mapping[str, Sequence[str]]) -> bool:
        """Whether calls to that place would reach the registry's API, with whatever a client sends."""
        here = self.loopback and address.is_loopback  # all of 127.0.0.0/8 is this machine
        return any(
            port == its_port and (here or str(address) in (host, *resolved.get(host, ())))
            for host, its_port in self.registries
        )


def _lies_in(inner: Network, outer: Network) -> bool:
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)


def address_policy(
    allowed_networks: tuple[str, ...], *, loopback: bool, registries: Sequence[tuple[str, int]] = ()
) -> AddressPolicy:
    """The policy of the settings. Raises `ValueError` that names the entry that is no network."""
    networks: list[Network] = []
    for text in allowed_networks:
        try:
            networks.append(ip_network(text))
        except ValueError as error:
            raise ValueError(f"allowed_networks: {error}; write 10.0.0.0/8 or fd00::/8") from None
    return AddressPolicy(tuple(networks), loopback, tuple(registries))


def is_loopback_host(host: str) -> bool:
    """Whether a host of the settings means this machine: a loopback literal or `localhost`."""
    if host.lower().removesuffix(".") == "localhost":
        return True
    try:
        return _normal(ip_address(host)).is_loopback
    except ValueError:
        return False


def split_address(text: str, default_port: int) -> tuple[str, int]:
    """`host`, `host:port` or `[v6]:port` in two. Raises `ValueError` that says what is wrong."""
    host, port = text, str(default_port)
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is no address: write host:port or [ipv6]:port")
        port = rest[1:] if rest else port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    elif ":" in text:
        raise ValueError(f"{text!r} is no address: an IPv6 address with a port is written [::1]:8500")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is no address: write host:port, the port 0 to 65535")
    return host, int(port)
