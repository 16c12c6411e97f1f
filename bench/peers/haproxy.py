"""HAProxy with `leastconn`, one thread, and upstream connections shared by all clients."""

from bench.peers.base import Peer, Place
from bench.processes import Launch
from bench.programs import find_program, said_by

SETTINGS = """
global
    nbthread 1
    # Most clients are idle in what is measured: not every one needs a second descriptor upstream.
    maxconn 12000
    no strict-limits
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout tunnel 300s
    option forwardfor
frontend front
    bind 127.0.0.1:{port} backlog 4096
    default_backend instances
backend instances
    balance leastconn
    http-reuse always
{servers}
"""


def launch(place: Place) -> Launch:
    servers = "\n".join(f"    server s{n} {address}" for n, address in enumerate(place.addresses))
    file = place.write("haproxy.cfg", SETTINGS.format(port=place.port, servers=servers))
    return Launch((find_program("haproxy"), "-db", "-f", file))


def version() -> str:
    return said_by([find_program("haproxy"), "-v"]).split()[2].partition("-")[0]


PEER = Peer("HAProxy", launch, version)
