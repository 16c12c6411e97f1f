"""Who may talk to an agent that has no access control: programs of this machine, not web pages. Pure.

Two attacks reach a loopback port through a browser. A page of any site may send it requests (it can't
read the answers, but a registration need not be read). And a site may let its own name resolve to
127.0.0.1 after it was loaded (DNS rebinding): then the page is of the "same origin" and may read, too.
A browser sends `Origin` with the former and the site's name as `Host` with the latter.
"""

from ipaddress import ip_address

from registry.addresses import split_address


def refusal(host: str | None, origin: str | None, *, loopback: bool) -> str | None:
    """Why a request is refused, `None` when it may pass.

    `loopback`: the agent listens on loopback only. Otherwise other machines may know it by a name.
    """
    if origin is not None:
        return "requests of web pages are refused: this agent has no access control (Origin header)"
    if loopback and host is not None and not _means_this_machine(host):
        return (
            "this Host is refused (DNS rebinding): an agent on loopback is asked as localhost or by address"
        )
    return None


def _means_this_machine(authority: str) -> bool:
    """An address can't be rebound: only a name can come to mean another machine."""
    try:
        host, _ = split_address(authority, 80)
    except ValueError:
        return False
    if host.lower().removesuffix(".") == "localhost":
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
