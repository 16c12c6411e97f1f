"""Who holds a socket of a handler and has not shown a ticket yet: few in all, and fewer from one address.

Rules of this file: a client that shows its ticket in the handshake is no stranger and never counted, so
whoever fills these places keeps out others without a ticket, and nobody who has one.
"""

from collections import Counter
from ipaddress import IPv6Address, ip_address

MAX_STRANGERS = 256
MAX_PER_ADDRESS = 64
"""As many as come from behind one proxy in the time in which a client sends its first frame."""


class StrangerLedger:
    """`most` in all, `most_per_address` from one IPv4 address or IPv6 /64."""

    def __init__(self, most: int = MAX_STRANGERS, most_per_address: int = MAX_PER_ADDRESS) -> None:
        self._most, self._most_per_address = most, most_per_address
        self._here: Counter[str] = Counter()

    def come(self, address: str) -> bool:
        """Takes a place, to be given back with `gone`; `False` when there is none."""
        who = _network(address)
        if self._here.total() >= self._most or self._here[who] >= self._most_per_address:
            return False
        self._here[who] += 1
        return True

    def gone(self, address: str) -> None:
        """Gives the place back that somebody from there has taken."""
        who = _network(address)
        self._here[who] -= 1
        if self._here[who] <= 0:
            del self._here[who]

    def __len__(self) -> int:
        return self._here.total()

    def __repr__(self) -> str:
        return f"<StrangerLedger: {len(self)} of {self._most}, from {len(self._here)} addresses>"


def _network(address: str) -> str:
    """What one party has of the address space; what is no address, as a Unix socket's, is a party too."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.packed[:8].hex()
