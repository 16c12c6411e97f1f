"""Real Consul servers with data on disk, and the client agent that instances and gateways talk to."""

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.processes import Child
from tests.servers import find_program, free_ports

READY_S = 60.0


class Agent(Child):
    """One agent. What it knows is in its folder, so that it comes back as it was."""

    def __init__(self, name: str, folder: Path, servers: int) -> None:
        """`servers`: how many there are to be; 0 makes this one a client."""
        self.port, self.server_port, self.serf, wan = free_ports(4)
        self.address = f"127.0.0.1:{self.port}"
        role = ["-server", f"-bootstrap-expect={servers}"] if servers else []
        super().__init__(
            name,
            [
                *(find_program("consul"), "agent", *role, f"-node={name}", f"-data-dir={folder / name}"),
                *("-bind=127.0.0.1", "-client=127.0.0.1", "-log-level=err", "-dns-port=-1", "-grpc-port=-1"),
                *(f"-http-port={self.port}", f"-server-port={self.server_port}"),
                *(f"-serf-lan-port={self.serf}", f"-serf-wan-port={wan}"),
                "-hcl=leave_on_terminate=false performance { raft_multiplier = 1 }",
            ],
            folder / f"{name}.log",
        )

    def join(self, others: "list[Agent]") -> None:
        self.argv += tuple(f"-retry-join=127.0.0.1:{other.serf}" for other in others)
        self.argv += ("-retry-interval=1s",)

    def get(self, path: str) -> object:
        """What it answers; `None` when that is no 200 or does not come."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as s:
                s.sendall(f"GET {path} HTTP/1.0\r\nHost: consul\r\n\r\n".encode())
                answer = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        except OSError:
            return None
        head, _, body = answer.partition("\r\n\r\n")
        found: object = json.loads(body) if " 200 " in head.split("\r\n")[0] else None
        return found

    def knows_a_leader(self) -> bool:
        return bool(self.get("/v1/status/leader")) and bool(self.get("/v1/catalog/nodes"))


class Cluster:
    """So many servers; with more than one, a client agent in front of them."""

    def __init__(self, folder: Path, servers: int) -> None:
        self.servers = [Agent(f"server-{n + 1}", folder, servers) for n in range(servers)]
        self.client = Agent("client", folder, 0) if servers > 1 else self.servers[0]
        for agent in self.agents:
            if servers > 1:
                agent.join(self.servers)

    @property
    def agents(self) -> list[Agent]:
        return [*self.servers] if self.client in self.servers else [*self.servers, self.client]

    @property
    def address(self) -> str:
        """Where instances and gateways find it."""
        return self.client.address

    def start(self) -> None:
        for agent in self.agents:
            agent.start()
        self.until_led()

    def until_led(self) -> None:
        """Blocks until every agent that runs can read the catalogue."""
        until(lambda: all(agent.knows_a_leader() for agent in self.agents if agent.running))

    def leader(self) -> Agent:
        told = self.client.get("/v1/status/leader")
        return next(server for server in self.servers if told == f"127.0.0.1:{server.server_port}")

    def kill_all(self) -> None:
        for agent in self.agents:
            agent.kill_now()


@contextmanager
def cluster(folder: Path, servers: int) -> Iterator[Cluster]:
    folder.mkdir()
    made = Cluster(folder, servers)
    try:
        made.start()
        yield made
    except BaseException:
        sys.stderr.write("\n".join(f"{agent.name}: {agent.last_words()}" for agent in made.agents))
        raise
    finally:
        made.kill_all()


def until(condition: Callable[[], bool], within_s: float = READY_S) -> None:
    """Blocks. Raises `TimeoutError`."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s:g} s")
        time.sleep(0.05)
