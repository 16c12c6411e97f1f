"""`quaymaster proxy` as a settings file: one service with fixed addresses behind one prefix route."""

from collections.abc import Sequence

import orjson

from gateway.target import split_host


def proxy_settings(listen: str, to: Sequence[str], strategy: str) -> str | None:
    """The settings as text (JSON is YAML), `None` if an address is none. A missing host is loopback."""
    places = [_place(address) for address in (listen, *to)]
    if None in places or not to:
        return None
    (host, port), *instances = [place for place in places if place is not None]
    return orjson.dumps(
        {
            "listen": {"host": host, "port": port},
            "registry": {"backend": "static", "register_as": None},
            "services": {
                "proxy": {
                    "strategy": strategy,
                    "instances": [f"http://{_bracketed(host)}:{port}" for host, port in instances],
                }
            },
            "routes": [{"path": "/*", "service": "proxy", "access": "public"}],
            "handlers": None,
            "limits": {"per_address": None, "per_user": None},
            "logging": {"format": "console"},
        }
    ).decode()


def _place(address: str) -> tuple[str, int] | None:
    found = split_host(f"127.0.0.1{address}" if address.startswith(":") else address)
    return None if found is None or found[1] is None else (found[0], found[1])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
