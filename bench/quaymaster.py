"""Quaymaster as a contestant: the gateway as an operator starts it, with its features on or off."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt

from bench.peers.base import Place
from bench.processes import Launch

SECRET = "measured with this secret and with no other"
EXPIRES_AT = 4_102_444_800
"""2100-01-01, in Unix seconds: a token outlives every measurement."""
ON = "Quaymaster"
OFF = "Quaymaster, features off"
ALL = "Quaymaster, all of the front door"
PAGE = "https://app.bench.example"
"""The origin of a browser's page."""
COUNTED_BUT_NEVER_REACHED = 1_000_000_000


def token(uid: str = "ada", **claims: Any) -> str:
    """A user's token, as an auth service would make it."""
    return jwt.encode({"sub": uid, "exp": EXPIRES_AT, **claims}, SECRET, algorithm="HS256")


def user_headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {token()}"}


def browser_headers() -> dict[str, str]:
    """A user's, from a page, with a token that says what the user may."""
    proof = token(roles=["reader", "writer"], scope="read write", tier="gold")
    return {"Authorization": f"Bearer {proof}", "Origin": PAGE, "Accept": "application/json"}


def settings_on(place: Place) -> dict[str, Any]:
    """Token verified, requests counted per user, request ids, metrics, an access log in JSON."""
    return {
        "listen": {"port": place.port, "drain_s": 0, "max_body_bytes": 1 << 30},
        "registry": {"backend": "static", "register_as": None},
        "identity": {"secret": SECRET},
        "limits": {
            "per_address": COUNTED_BUT_NEVER_REACHED,
            "per_user": COUNTED_BUT_NEVER_REACHED,
        },
        "services": {
            "bench": {
                "strategy": "least_connections",
                "instances": [f"http://{address}" for address in place.addresses],
            }
        },
        "routes": [{"path": "/*", "service": "bench", "access": "user"}],
        "handlers": None,
    }


def settings_all(place: Place) -> dict[str, Any]:
    """What the front door can do for every request, tracing left out: roles and scopes asked for, two limits,
    CORS, allowed hosts, claims as headers, trusted proxies, and what `settings_on` has."""
    on = settings_on(place)
    return on | {
        "listen": on["listen"] | {"allowed_hosts": ["127.0.0.1"], "trusted_proxies": ["10.0.0.0/8"]},
        "identity": on["identity"] | {"claim_headers": {"X-User-Roles": "roles", "X-User-Tier": "tier"}},
        "limits": on["limits"] | {"rules": [{"requests": COUNTED_BUT_NEVER_REACHED, "per": "address"}]},
        "cors": {"origins": [PAGE, "https://*.other.example"], "credentials": True},
        "routes": [
            {
                "path": "/*",
                "service": "bench",
                "access": "user",
                "require": {"roles": ["writer"], "scopes": ["read"]},
            }
        ],
    }


def settings_off(place: Place) -> dict[str, Any]:
    """A public route without limits and without an access log. Request ids and metrics have no switch."""
    return settings_on(place) | {
        "identity": {},
        "limits": {"per_address": None, "per_user": None},
        "routes": [{"path": "/*", "service": "bench", "access": "public"}],
        "logging": {"level": "warning"},
    }


def launcher(settings: Callable[[Place], dict[str, Any]], tree: Path) -> Callable[[Place], Launch]:
    """How the gateway of that source tree is started with such settings. JSON is YAML."""

    def launch(place: Place) -> Launch:
        file = place.write("quaymaster.yaml", json.dumps(settings(place)))
        return Launch((sys.executable, "-m", "gateway", "serve", "--config", file), cwd=tree)

    return launch
