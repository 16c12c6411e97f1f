"""What a caller is recognised by, for services whose calls go to the same instance again (`rendezvous`).

Rules of this file: a key is bytes that mean nothing beyond being the same for the same caller. Who can't be
recognised has the empty key, and goes wherever there is most room.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

from balancer.policy import HashPolicy

RENDEZVOUS = "rendezvous"
"""The strategy that goes by keys."""

LONGEST = 64
"""Bytes of a key. Longer ones are digested, since each instance's score is made from all of it."""


def hash_key(
    policy: HashPolicy, headers: Mapping[str, str], cookies: Sequence[str], uid: str | None, address: str
) -> bytes:
    """The key by `policy`; `cookies` are all values of `Cookie`, `uid` is the verified user's.

    `headers` are case-insensitive.
    """
    match policy.by:
        case "address":
            found: str | None = address
        case "uid":
            found = uid
        case "header":
            found = headers.get(policy.name)
        case "cookie":
            found = _cookie(cookies, policy.name)
    key = (found or "").encode("utf-8", "surrogateescape")
    return key if len(key) <= LONGEST else blake2b(key, digest_size=16).digest()


def _cookie(headers: Sequence[str], name: str) -> str | None:
    """The value of the first cookie of that name, as it was sent (RFC 6265, 4.2.1)."""
    for header in headers:
        for pair in header.split(";"):
            key, is_there, value = pair.partition("=")
            if is_there and key.strip(" \t") == name:
                return value.strip(" \t")
    return None
