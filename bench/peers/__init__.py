"""The gateways that Quaymaster is measured beside: one file each, and this table.

Each is set up as its own documentation advises for load: one worker thread, kept connections to the
instances, least connections where it has them, no access log. To add one: a file with a `PEER`, and its
line in `PEERS`.
"""

from importlib import import_module
from typing import cast

from bench.peers.base import Peer

PEERS = {
    "nginx": "bench.peers.nginx",
    "haproxy": "bench.peers.haproxy",
    "envoy": "bench.peers.envoy",
    "caddy": "bench.peers.caddy",
    "aiohttp": "bench.peers.usual_aiohttp",
    "fastapi": "bench.peers.usual_fastapi",
}


def load_peer(name: str) -> Peer:
    """Raises `KeyError` for a name not in the table."""
    return cast(Peer, import_module(PEERS[name]).PEER)
