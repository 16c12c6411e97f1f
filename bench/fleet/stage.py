"""Starts the fleet, and asks its processes how they are."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from bench import quaymaster
from bench.calls import Refused, call, get, text
from bench.fleet.handler import SHOWN
from bench.peers.base import Place
from bench.processes import DidNotStart, Launch, Process, running, until
from bench.programs import ROOT
from bench.reporting import SEATS
from tests.servers import ConsulAgent, RedisServer, consul_agent, free_ports, own_redis

GATEWAYS = 3
CLIENTS_A_PROCESS = 2500
LEAVE_S = 30.0
"""So long a crowd may take to go home."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who takes part. `capacity` is of one handler."""

    clients: int
    handlers: int
    capacity: int
    every_s: float
    """The mean pause between two things that a client says."""
    store_timeout_s: float | None = None
    """How long the gateways wait for Redis; `None`: as it comes."""


@dataclass(slots=True)
class HandlerProcess:
    id: str
    port: int
    process: Process
    alive: bool = True

    def shown(self) -> dict[str, int]:
        """How many clients it has, and how many it ever had at once."""
        found: dict[str, int] = call(self.port, "GET", SHOWN)
        return found

    def kill(self) -> None:
        """As `kill -9` does it."""
        self.alive = False
        self.process.popen.kill()
        self.process.popen.wait()


@dataclass(frozen=True, slots=True)
class CrowdProcess:
    """A process of `bench.fleet.crowd`, which is told what to do by lines."""

    popen: "subprocess.Popen[bytes]"

    def do(self, what: str, **how: Any) -> dict[str, Any]:
        """Raises `DidNotStart` when the process has ended."""
        self.tell(what, **how)
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        if not line:
            raise DidNotStart(f"a crowd has ended with {self.popen.poll()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def tell(self, what: str, **how: Any) -> None:
        assert self.popen.stdin is not None
        try:
            self.popen.stdin.write(json.dumps({"do": what, **how}).encode() + b"\n")
            self.popen.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, which reading its answer tells


@dataclass(slots=True)
class Stage:
    cast: Cast
    redis: RedisServer
    consul: ConsulAgent
    gateways: list[int]
    """Their ports."""
    handlers: list[HandlerProcess] = field(default_factory=list)
    crowds: list[CrowdProcess] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)
    """Of the gateways."""

    @property
    def living(self) -> list[HandlerProcess]:
        return [handler for handler in self.handlers if handler.alive]

    def look(self) -> dict[str, int]:
        """How the clients are, in sum."""
        seen = [crowd.do("look") for crowd in self.crowds]
        return {name: sum(one[name] for one in seen) for name in seen[0]}

    def tell_all(self, what: str, **how: Any) -> None:
        for crowd in self.crowds:
            crowd.do(what, **how)

    def counts(self) -> dict[str, int]:
        """The clients of each living handler, as it counts them itself."""
        return {handler.id: handler.shown()["now"] for handler in self.living}

    def most(self) -> int:
        """The most clients that any living handler ever had at once."""
        return max(handler.shown()["most"] for handler in self.living)

    def everybody(self) -> bool:
        """Whether every client has a connection, and some handler counts it."""
        return self.look()["connected"] == self.cast.clients == sum(self.counts().values())

    def estimated(self) -> int:
        """How often a gateway has found Redis away or late, and gone by what it knew, so far."""
        return sum(log.read_bytes().count(b'"seats_estimated"') for log in self.logs)

    def server_errors(self) -> int:
        """Answers 5xx to clients that asked for a handler, of all gateways so far."""
        return sum(map(server_errors, self.gateways))


@contextmanager
def stage(cast: Cast) -> Iterator[Stage]:
    """Everything running, and no client there yet. Raises `DidNotStart`."""
    # A file for each client, on both sides; what is started here inherits it.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="quaymaster-fleet-")))
        redis, consul = stack.enter_context(own_redis()), stack.enter_context(consul_agent())
        ports = free_ports(GATEWAYS + cast.handlers)
        gateways, ports = ports[:GATEWAYS], ports[GATEWAYS:]
        on = Stage(cast, redis, consul, gateways)
        started = [
            stack.enter_context(gateway(on, Place(port, (), folder / f"gateway-{port}"))) for port in gateways
        ]
        for number, port in enumerate(ports, 1):
            name = f"WSH{number}"
            handler = running(handler_launch(on, name, port), None, folder / f"{name}.log")
            on.handlers.append(HandlerProcess(name, port, stack.enter_context(handler)))
        for port, process in zip(gateways, started, strict=True):
            until(partial(is_live, port), process)
        for one in on.handlers:
            until(partial(eligible_everywhere, on, one.id), one.process)
        for number in range(-(-cast.clients // CLIENTS_A_PROCESS)):
            on.crowds.append(stack.enter_context(crowd(on, number, folder / f"crowd-{number}.log")))
        yield on


@contextmanager
def gateway(on: Stage, place: Place) -> Iterator[Process]:
    place.folder.mkdir()
    launch = quaymaster.launcher(partial(gateway_settings, on), ROOT)
    on.logs.append(place.folder / "log")
    with running(launch(place), None, on.logs[-1]) as process:
        yield process


def is_live(port: int) -> bool:
    return get(port, "/health/live") == 200


def gateway_settings(on: Stage, place: Place) -> dict[str, Any]:
    """An operator's: what is not here is as it comes."""
    seconds = on.cast.store_timeout_s
    waits = "" if seconds is None else f"?socket_timeout={seconds:g}&socket_connect_timeout={seconds:g}"
    return {
        "listen": {"port": place.port, "drain_s": 0},
        "registry": {"backend": "consul", "address": on.consul.address, "register_as": None},
        "store": {"backend": "redis", "url": on.redis.url + waits},
        "identity": {"secret": quaymaster.SECRET},
        "services": {},
        "routes": [],
        "handlers": {"secret": quaymaster.SECRET, "capacity": on.cast.capacity},
        "logging": {"level": "warning"},
    }


def handler_launch(on: Stage, name: str, port: int) -> Launch:
    gateways = [part for gateway in on.gateways for part in ("--gateway", f"http://127.0.0.1:{gateway}")]
    return Launch(
        (
            *(sys.executable, "-m", "bench.fleet.handler", "--id", name, "--port", str(port)),
            *("--capacity", str(on.cast.capacity), "--consul", on.consul.address, *gateways),
        )
    )


@contextmanager
def crowd(on: Stage, number: int, log: Path) -> Iterator[CrowdProcess]:
    """One process of clients, from a loopback address of its own: one alone may run out of ports."""
    gateways = [part for gateway in on.gateways for part in ("--gateway", f"http://127.0.0.1:{gateway}")]
    with log.open("wb") as stderr:
        popen = subprocess.Popen(
            [
                *(sys.executable, "-m", "bench.fleet.crowd", "--first", str(number * 1_000_000)),
                *("--every", str(on.cast.every_s), "--from", f"127.0.0.{2 + number}", *gateways),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    found = CrowdProcess(popen)
    try:
        yield found
        found.tell("end")
        popen.wait(LEAVE_S)
    finally:
        popen.kill()
        popen.communicate()


def eligible_everywhere(on: Stage, handler: str) -> bool:
    return all(map(partial(eligible, handler), on.gateways))


def eligible_nowhere(on: Stage, handler: str) -> bool:
    return not any(map(partial(eligible, handler), on.gateways))


def eligible(handler: str, gateway: int) -> bool:
    """Whether that gateway hands that handler out."""
    return any(state["id"] == handler and state["eligible"] for state in states(gateway))


def states(gateway: int) -> list[dict[str, Any]]:
    """The handlers as that gateway sees them; none while it can't be asked, or only estimates."""
    try:
        seen = call(gateway, "GET", "/health/detailed")
    except (OSError, Refused):
        return []
    found: list[dict[str, Any]] = seen["handlers"]
    return found if all(pool["mode"] == "exact" for pool in seen["pools"].values()) else []


def server_errors(gateway: int) -> int:
    """Answers 5xx of one gateway to clients that asked for a handler."""
    families = text_string_to_metric_families(text(gateway, "/metrics"))
    samples = (sample for family in families for sample in family.samples)
    return sum(
        int(sample.value)
        for sample in samples
        if sample.name == "quaymaster_requests_total"
        and sample.labels["route"] == SEATS
        and sample.labels["code"].startswith("5")
    )
