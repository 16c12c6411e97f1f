"""Consul's own agent, for what the gateway answers in its place. Not in `PEERS`: it carries no calls."""

from bench.peers.base import Peer, Place
from bench.processes import Launch
from bench.programs import find_program, said_by
from tests.servers import free_ports


def launch(place: Place) -> Launch:
    """A server that forgets everything when it ends, as `make demo` without a `data_dir` would."""
    server, serf_lan, serf_wan = free_ports(3)
    argv = (
        *(find_program("consul"), "agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", "-log-level=err"),
        *(f"-http-port={place.port}", f"-server-port={server}", "-dns-port=-1", "-grpc-port=-1"),
        *(f"-serf-lan-port={serf_lan}", f"-serf-wan-port={serf_wan}"),
        # Its own limit on requests of one address is for a client that misbehaves, not for a bench.
        "-hcl=performance { raft_multiplier = 1 } limits { http_max_conns_per_client = 1000 }",
    )
    return Launch(argv)


def version() -> str:
    return said_by([find_program("consul"), "version"]).removeprefix("Consul v")


PEER = Peer("Consul /v1/health/service/:name", launch, version)
