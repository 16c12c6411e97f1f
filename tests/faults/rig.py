"""What a row stands on: instances and gateways, each a process, on a Consul agent of the real kind."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.faults.client import Answer, Client, NoAnswer
from tests.faults.ledger import Seen, read_seen
from tests.faults.load import Load
from tests.faults.processes import Child
from tests.servers import ConsulAgent, consul_agent, free_ports

READY_S = 30.0
POLL_S = 0.02
FIRST_BYTE_S = 2.0
"""How long a gateway of a row waits for an answer's head: the figure that RELIABILITY 4 reckons with."""
_numbers = count(1)


class InstanceProcess(Child):
    """One instance, which registers itself."""

    def __init__(self, name: str, service: str, consul: str, folder: Path, *options: str) -> None:
        self.port, self.control = free_ports(2)
        self.seen_file = folder / f"{name}.seen"
        super().__init__(
            name,
            [
                *(sys.executable, "-m", "tests.faults.instance", "--service", service, "--name", name),
                *("--port", str(self.port), "--control", str(self.control), "--consul", consul),
                *("--seen", str(self.seen_file), "--seed", str(self.port), *options),
            ],
            folder / f"{name}.log",
        )

    async def fault(self, name: str) -> None:
        client = Client(self.control)
        try:
            assert (await client.ask("PUT", f"/fault?name={name}")).status == 200
        finally:
            client.close()

    def seen(self) -> list[Seen]:
        return read_seen(self.name, self.seen_file.read_text()) if self.seen_file.exists() else []


class GatewayProcess(Child):
    """One `python -m gateway serve`, on a port that stays the same when it is started again."""

    def __init__(self, name: str, settings: Mapping[str, Any], folder: Path, port: int = 0) -> None:
        self.port = port or free_ports(1)[0]
        self.file = folder / f"{name}.yaml"
        self.settings = dict(settings) | {"listen": {**settings.get("listen", {}), "port": self.port}}
        self.write_settings()
        super().__init__(
            name,
            [sys.executable, "-m", "gateway", "serve", "--config", str(self.file)],
            folder / f"{name}.log",
        )

    def write_settings(self) -> None:
        self.file.write_text(json.dumps(self.settings, indent=1))

    async def ask(self, path: str, patience_s: float = 5.0) -> Answer:
        """Raises `NoAnswer`."""
        client = Client(self.port, patience_s)
        try:
            return await client.ask("GET", path, {"Connection": "close"})
        finally:
            client.close()

    async def status(self, path: str) -> int | None:
        try:
            return (await self.ask(path)).status
        except NoAnswer:
            return None

    async def detailed(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((await self.ask("/health/detailed")).body)
        return found

    async def metrics(self) -> dict[str, float]:
        text = (await self.ask("/metrics")).body.decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {series: float(value) for series, _, value in lines}

    async def total(self, series: str) -> float:
        """The sum over all labels of one metric."""
        found = await self.metrics()
        return sum(value for name, value in found.items() if name.partition("{")[0] == series)

    async def tries_that_ended(self, outcome: str) -> int:
        """How many tries at instances ended so, by the label of their outcome."""
        found = await self.metrics()
        return int(sum(value for name, value in found.items() if f'outcome="{outcome}"' in name))

    async def is_ready(self) -> bool:
        """Raises `RuntimeError` when it has ended instead."""
        if not self.running:
            raise RuntimeError(f"{self.name} has ended: {self.last_words()}")
        return await self.status("/health/ready") == 200

    async def usable(self, service: str) -> set[str]:
        """The ids that calls of the service may go to, as this gateway tells."""
        found = (await self.detailed())["services"].get(service, {"instances": ()})
        return {
            one["id"]
            for one in found["instances"]
            if one["health"] in ("passing", "warning") and not one["aside"]
        }


@dataclass(slots=True)
class Rig:
    """The processes of one row. `service` is reached by `/work/*`; POST goes out again only if unsent."""

    service: str
    consul: str
    folder: Path
    gateways: list[GatewayProcess] = field(default_factory=list)
    instances: list[InstanceProcess] = field(default_factory=list)
    options: tuple[str, ...] = ()
    _retired: list[InstanceProcess] = field(default_factory=list)

    @property
    def gateway(self) -> GatewayProcess:
        return self.gateways[0]

    @property
    def ports(self) -> list[int]:
        return [gateway.port for gateway in self.gateways]

    def new_instance(self) -> InstanceProcess:
        name = f"{self.service}-{len(self.instances) + len(self._retired) + 1}"
        made = InstanceProcess(name, self.service, self.consul, self.folder, *self.options)
        self.instances.append(made)
        return made

    def retire(self, instance: InstanceProcess) -> None:
        """It is no longer one of those the row expects to be there."""
        self.instances.remove(instance)
        self._retired.append(instance)

    def seen(self) -> list[Seen]:
        return [one for instance in (*self.instances, *self._retired) for one in instance.seen()]

    async def until_usable(self, names: set[str] | None = None, within_s: float = READY_S) -> None:
        """Returns once every gateway uses just these instances; all of the row's, if none are given."""
        wanted = {one.name for one in self.instances} if names is None else names

        async def are_usable() -> bool:
            return all([await gateway.usable(self.service) == wanted for gateway in self.gateways])

        await eventually(are_usable, within_s)

    async def until_active_is_0(self, within_s: float = 10.0) -> bool:
        """Whether every gateway comes to count no call as under way."""

        async def is_idle() -> bool:
            return all(
                [await gateway.total("quaymaster_upstream_in_flight") == 0 for gateway in self.gateways]
            )

        return await came_true(is_idle, within_s) is not None

    async def close(self) -> None:
        for process in (*self.gateways, *self.instances, *self._retired):
            if process.running:
                # A SIGKILL takes a stopped process too, and costs no row the time of a drain.
                await process.kill()


def settings_of(
    service: str, consul: str, policy: Mapping[str, Any] | None = None, **sections: Any
) -> dict[str, Any]:
    """A gateway's settings file; a section that is given is laid over the one here, and `policy`
    over what is said of the service."""
    document: dict[str, Any] = {
        "listen": {"drain_s": 1, "shutdown_timeout_s": 5},
        "registry": {"backend": "consul", "address": consul, "register_as": None},
        "services": {service: {"timeouts": {"first_byte_s": FIRST_BYTE_S}, **(policy or {})}},
        "routes": [{"path": "/work/*", "service": service, "access": "public"}],
        "limits": {"per_address": None},
        "handlers": None,
        "logging": {"level": "warning"},
    }
    for name, section in sections.items():
        if isinstance(section, dict):
            document[name] = (document[name] or {}) | section if name in document else section
        else:
            document[name] = section
    return document


@dataclass(slots=True)
class Stage:
    """What rows of one run share: a folder, an agent that none of them hurts, and how long they take."""

    folder: Path
    consul: ConsulAgent
    full: bool = False

    def seconds(self, quick: float, full: float) -> float:
        return full if self.full else quick

    @asynccontextmanager
    async def rig(
        self,
        row: str,
        *,
        instances: int = 3,
        gateways: int = 1,
        consul: str = "",
        options: Sequence[str] = (),
        **sections: Any,
    ) -> AsyncIterator[Rig]:
        """Everything started, and every gateway in sight of every instance. `sections` are settings."""
        service = f"{row.lower()}-{next(_numbers)}"
        folder = self.folder / service
        folder.mkdir()
        made = Rig(service, consul or self.consul.address, folder, options=tuple(options))
        try:
            for _ in range(instances):
                made.new_instance().start()
            for number in range(gateways):
                settings = settings_of(service, made.consul, **sections)
                made.gateways.append(GatewayProcess(f"gateway-{number + 1}", settings, folder))
                made.gateways[-1].start()
            await until_all_ready(made)
            yield made
        except BaseException:
            words = [f"{p.name}: {p.last_words()}" for p in (*made.gateways, *made.instances)]
            sys.stderr.write("\n".join(words))
            raise
        finally:
            await made.close()


async def until_all_ready(rig: Rig) -> None:
    for gateway in rig.gateways:
        await eventually(gateway.is_ready)
    await rig.until_usable()


@asynccontextmanager
async def own_consul() -> AsyncIterator[ConsulAgent]:
    """An agent that a row may hurt. It forgets everything when it stops."""
    async with AsyncExitStack() as stack:
        agent = ConsulAgent()
        stack.push_async_callback(asyncio.to_thread, agent.stop)
        await asyncio.to_thread(agent.start)
        yield agent


@contextmanager
def stage(folder: Path, *, full: bool) -> Iterator[Stage]:
    with consul_agent() as agent:
        yield Stage(folder, agent, full)


async def came_true(condition: Callable[[], Awaitable[bool]], within_s: float) -> float | None:
    """Seconds until the condition held; `None` when it did not come to that. A gateway that does not answer
    has not said yes."""
    started = time.monotonic()
    while time.monotonic() - started < within_s:
        try:
            if await condition():
                return time.monotonic() - started
        except NoAnswer:
            pass
        await asyncio.sleep(POLL_S)
    return None


async def eventually(condition: Callable[[], Awaitable[bool]], within_s: float = READY_S) -> float:
    """The same. Raises `TimeoutError`."""
    took_s = await came_true(condition, within_s)
    if took_s is None:
        raise TimeoutError(f"not within {within_s:g} s: {getattr(condition, '__qualname__', condition)}")
    return took_s


async def until_answered(load: Load, instance: str, since: float, within_s: float = READY_S) -> float | None:
    """Seconds from `since` until a call was answered well by that instance."""

    async def answers() -> bool:
        return load.ledger.first_answer_of(instance, since) is not None

    await came_true(answers, within_s)
    return load.ledger.first_answer_of(instance, since)


async def leave(instance: InstanceProcess) -> None:
    """SIGTERM, as a deploy does it."""
    instance.send(signal.SIGTERM)
    await instance.ended()
