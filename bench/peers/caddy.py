"""Caddy's `reverse_proxy` with `least_conn`; Go is given one processor, as every other has one thread."""

from bench.peers.base import Peer, Place
from bench.processes import Launch
from bench.programs import find_program, said_by

SETTINGS = """
{{
    admin off
    auto_https off
    log {{
        level ERROR
    }}
}}
http://127.0.0.1:{port} {{
    bind 127.0.0.1
    reverse_proxy {addresses} {{
        lb_policy least_conn
        transport http {{
            keepalive 300s
            keepalive_idle_conns 256
            keepalive_idle_conns_per_host 64
        }}
    }}
}}
"""


def launch(place: Place) -> Launch:
    text = SETTINGS.format(port=place.port, addresses=" ".join(place.addresses))
    file = place.write("Caddyfile", text)
    argv = (find_program("caddy"), "run", "--adapter", "caddyfile", "--config", file)
    home = {"XDG_DATA_HOME": str(place.folder), "XDG_CONFIG_HOME": str(place.folder)}
    return Launch(argv, {"GOMAXPROCS": "1", **home})


def version() -> str:
    return said_by([find_program("caddy"), "version"]).split()[0].removeprefix("v")


PEER = Peer("Caddy", launch, version)
