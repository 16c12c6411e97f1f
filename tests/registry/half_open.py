"""A Consul agent whose packets vanish, in network namespaces of its own: run it under `unshare -n`.

Two agents: one behind a pair of virtual interfaces that stop carrying anything, and one at loopback that
stays. A watcher follows a service through it. Prints what happened, as JSON.
"""

import asyncio
import json
import subprocess
import time
import urllib.request
from contextlib import ExitStack

from registry import blocking
from registry.backends.base import BackendSettings
from registry.backends.consul import open_backend
from registry.backends.shared import homeward
from registry.model import ServiceName
from registry.runtime.watcher import Watcher
from tests.registry.waiting import until
from tests.servers import ConsulAgent, find_program

OURS, THEIRS = "10.99.0.1", "10.99.0.2"
WEB = ServiceName("web")
WAIT_S = 1.0


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=10)


class FarAgent:
    """A dev agent in a namespace of its own, at the other end of a virtual cable."""

    def __init__(self, stack: ExitStack) -> None:
        holder = subprocess.Popen(["unshare", "-n", "sleep", "60"])
        stack.callback(_end, holder)
        self._inside = ("nsenter", "-t", str(holder.pid), "-n")
        self._wait_for_a_namespace(holder.pid)
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far")
        run("ip", "link", "set", "far", "netns", str(holder.pid))
        run("ip", "addr", "add", f"{OURS}/24", "dev", "near")
        run("ip", "link", "set", "near", "up")
        for command in ("link set lo up", f"addr add {THEIRS}/24 dev far", "link set far up"):
            run(*self._inside, "ip", *command.split())
        agent = subprocess.Popen(
            [
                *self._inside, find_program("consul"), "agent", "-dev",
                f"-bind={THEIRS}", f"-client={THEIRS}", "-dns-port=-1", "-grpc-port=-1", "-log-level=err",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        stack.callback(_end, agent)
        self.address = f"{THEIRS}:8500"

    def _wait_for_a_namespace(self, pid: int) -> None:
        ours = _namespace("self")
        deadline = time.monotonic() + 5
        while _namespace(str(pid)) == ours and time.monotonic() < deadline:
            time.sleep(0.01)

    def lose_every_packet(self) -> None:
        for device, where in (("near", ()), ("far", self._inside)):
            run(*where, "tc", "qdisc", "add", "dev", device, "root", "pfifo", "limit", "0")

    def lose_nothing(self) -> None:
        for device, where in (("near", ()), ("far", self._inside)):
            run(*where, "tc", "qdisc", "del", "dev", device, "root")


def _namespace(pid: str) -> str:
    return subprocess.run(["readlink", f"/proc/{pid}/ns/net"], capture_output=True, text=True).stdout


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait(10)


def put_service(address: str, name: str, where: str) -> None:
    """Once the agent takes it: it may still be starting."""
    body = json.dumps({"Name": WEB, "ID": name, "Port": 80, "Address": where}).encode()
    request = urllib.request.Request(f"http://{address}/v1/agent/service/register", data=body, method="PUT")
    deadline = time.monotonic() + 15
    while True:
        try:
            urllib.request.urlopen(request, timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


async def watch(far: FarAgent, near: ConsulAgent) -> dict[str, object]:
    settings = BackendSettings(far.address, fallback_addresses=(near.address,), wait_s=WAIT_S)
    async with open_backend(settings) as backend, Watcher(backend.watch) as watcher:
        watcher.pin(WEB)

        def ids() -> set[str]:
            return {i.id for i in watcher.current(WEB).instances if not i.suspect}

        await until(lambda: ids() == {"far"})
        far.lose_every_packet()
        lost_at = time.monotonic()
        await until(lambda: ids() == {"near"}, within_s=blocking.deadline_s(WAIT_S) + 5)
        seconds = time.monotonic() - lost_at
        moves = watcher.stats().failovers
        far.lose_nothing()
        await until(lambda: ids() == {"far"}, within_s=20)
        return {"seconds": round(seconds, 2), "deadline_s": blocking.deadline_s(WAIT_S), "moves": moves}


def main() -> None:
    blocking.SLACK_S = 0.5
    homeward.AFTER_S = 0.5
    with ExitStack() as stack:
        far, near = FarAgent(stack), ConsulAgent()
        stack.callback(near.stop)
        near.start()
        put_service(far.address, "far", THEIRS)
        put_service(near.address, "near", OURS)
        print(json.dumps(asyncio.run(watch(far, near))))  # noqa: T201 this is what it is run for


if __name__ == "__main__":
    main()
