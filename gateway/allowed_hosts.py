"""Which hosts may be asked for here.

Rules of this file: a host is allowed by its name alone, whatever its port, its case, and whether its name
ends in a dot. `*.example.org` stands for names below `example.org`, and not for itself.
"""

from collections.abc import Sequence

from gateway.target import split_host


class AllowedHosts:
    """The names of `listen.allowed_hosts`."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._exact = frozenset(_name(host) for host in hosts if not host.startswith("*."))
        self._below = tuple(_name(host.removeprefix("*")) for host in hosts if host.startswith("*."))

    def allows(self, authority: str) -> bool:
        """Whether this `host[:port]` may be asked for. None at all, of HTTP/1.0, never is."""
        name = _name(authority)
        return name in self._exact or any(name.endswith(end) and name != end for end in self._below)


def _name(authority: str) -> str:
    found = split_host(authority)
    return authority if found is None else found[0].removesuffix(".")
