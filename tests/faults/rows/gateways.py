"""Rows G1 to G8: gateways that are replaced, killed, stopped, starved, or left by their clients."""

import asyncio
import os
import resource
import signal
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.faults.client import Client
from tests.faults.figure import Figure, figure, ms
from tests.faults.load import load
from tests.faults.rig import GatewayProcess, Rig, Stage, came_true, eventually, settings_of, until_all_ready
from tests.faults.rows.base import Row
from tests.faults.rows.store import are_there, handler, seat
from tests.gateway.runtime.gateways import SECRET

WARM_S = 1.0
LINGER_0 = struct.pack("ii", 1, 0)
UPLOAD = b"POST /work/up HTTP/1.1\r\nHost: x\r\nX-Request-Id: up\r\nContent-Length: 5000000\r\n\r\n"
DOWNLOAD = b"GET /work/down HTTP/1.1\r\nHost: x\r\nX-Request-Id: down\r\n\r\n"
SPARE_DESCRIPTORS = 8
DRAINS: dict[str, object] = {"drain_s": 0.5, "shutdown_timeout_s": 5}
AS_SYSTEMD = 'exec 3<&"$0"; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
"""sd_listen_fds(3): the socket is descriptor 3, and the variables are for this process."""
JUMPING_CLOCK = Path(__file__).parent.parent / "jumping_clock"
PRESSURE = 60
"""Connections that are opened to a gateway which has descriptors for a few."""


async def replaced(stage: Stage, row: str, rig: Rig, replace: Callable[[Rig, int], Awaitable[int]]) -> Figure:
    """`replace` puts a new gateway into the place of the old one; its answer is the old one's exit status."""
    codes = []
    async with load(*rig.ports, methods=["GET", "POST", "POST"], per_s=stage.seconds(80, 200)) as under:
        await asyncio.sleep(WARM_S)
        for number in range(3):
            codes.append(await replace(rig, number))
            await asyncio.sleep(WARM_S)
    made = figure(row, under.ledger, rig.seen())
    made.note(f"exit statuses {codes}")
    made.check("nothing failed", not under.ledger.failed)
    made.check("every old one ended well", codes == [0, 0, 0])
    return made


async def hand_over(rig: Rig, number: int) -> int:
    """The new process asks the old one for its socket; the old one drains and ends by itself."""
    old = rig.gateway
    fresh = GatewayProcess(f"gateway-{number + 2}", old.settings, rig.folder, old.port)
    fresh.start()
    rig.gateways.insert(0, fresh)
    code = await old.ended()
    rig.gateways.remove(old)
    assert fresh.running, fresh.last_words()
    return code


async def g1(stage: Stage) -> Figure:
    listen = DRAINS | {"handover": str(stage.folder / "handover.sock")}
    async with stage.rig("G1", listen=listen) as rig:
        return await replaced(stage, "G1", rig, hand_over)


async def g1_socket(stage: Stage) -> Figure:
    """Somebody else holds the socket, as systemd does: meanwhile connections wait in its queue."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as held:
        held.set_inheritable(True)
        async with stage.rig("G1-socket", gateways=0) as rig:
            settings = settings_of(rig.service, rig.consul, listen=DRAINS)
            gateway = GatewayProcess("gateway-1", settings, rig.folder, held.getsockname()[1])
            gateway.argv = ("sh", "-c", AS_SYSTEMD, str(held.fileno()), *gateway.argv)
            rig.gateways.append(gateway)
            gateway.start(pass_fds=[held.fileno()])
            await until_all_ready(rig)

            async def restart(_rig: Rig, _number: int) -> int:
                code = await gateway.stop()
                gateway.start(pass_fds=[held.fileno()])
                await eventually(gateway.is_ready)
                return code

            return await replaced(stage, "G1-socket", rig, restart)


async def g3(stage: Stage) -> Figure:
    """A process that stands still for longer than it waits for an answer: what was late is its own fault."""
    async with stage.rig("G3") as rig:
        async with load(*rig.ports, methods=["GET"]) as under:
            await asyncio.sleep(WARM_S)
            for still_s in (0.2, 0.2, 2.5):
                rig.gateway.pause()
                await asyncio.sleep(still_s)
                rig.gateway.resume()
                await asyncio.sleep(0.2)
            used = await rig.gateway.usable(rig.service)
            await asyncio.sleep(WARM_S)
        made = figure("G3", under.ledger, rig.seen())
        found = await rig.gateway.metrics()
        lag = {name: value for name, value in found.items() if "lag" in name or "overload" in name}
        made.note(f"{len(used)} of 3 instances used afterwards; {lag or 'no metric of the loop'}")
        made.check("nothing failed", not under.ledger.failed)
        made.check("no instance was put aside for it", len(used) == 3)
        return made


async def leaves(port: int, request: bytes, read: int) -> None:
    """A client that goes away by a reset in the middle."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(request)
    await writer.drain()
    if read:
        await reader.readexactly(read)
    else:
        await asyncio.sleep(0.1)
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    writer.transport.abort()


async def g4(stage: Stage) -> Figure:
    made = Figure("G4")
    async with stage.rig("G4") as rig:
        client = Client(rig.gateway.port)
        before = rig.gateway.descriptors()
        slowest_s = 0.0
        for one in rig.instances:
            await one.fault("streams")

        async def is_idle() -> bool:
            return await rig.gateway.total("quaymaster_upstream_in_flight") == 0

        for _ in range(int(stage.seconds(5, 50))):
            for request, read in ((UPLOAD + b"x" * 100_000, 0), (DOWNLOAD, 100_000)):
                await leaves(rig.gateway.port, request, read)
                took_s = await came_true(is_idle, 10)
                made.check("active counts return to 0", took_s is not None)
                slowest_s = max(slowest_s, took_s or 10.0)
        for one in rig.instances:
            await one.fault("works")
        answers = [await client.ask("GET", "/work/x", {"X-Request-Id": f"after-{n}"}) for n in range(30)]
        client.close()
        right = all(answer.status == 200 and answer.body == b"done" for answer in answers)

        async def are_closed() -> bool:
            return rig.gateway.descriptors() <= before + len(rig.instances)

        made.note(f"slowest return of the active count to 0 {ms(slowest_s)}")
        made.check("every call afterwards gets its own answer", right)
        made.check("no descriptor stays open", await came_true(are_closed, 20) is not None)
    made.held = sorted(set(made.held))
    return made


async def g6(stage: Stage) -> Figure:
    """The wall clock jumps by five minutes, on and back, while seats are held and handlers report."""
    jump = stage.folder / "jump"
    jump.write_text("0")
    pool = {"secret": "the secret of the handlers of this row", "guaranteed_s": 60, "joins_per_s": 1000}
    async with stage.rig("G6", handlers=pool, identity={"secret": SECRET}) as rig:
        await rig.gateway.kill()
        rig.gateway.start({"PYTHONPATH": str(JUMPING_CLOCK), "JUMPING_CLOCK": str(jump)})
        ours = handler(rig, f"{rig.service}-ws")
        ours.start()
        try:
            await eventually(lambda: are_there(rig, 1))
            await rig.until_usable()
            taken = [await seat(rig.gateway, number) for number in range(20)]
            held = []
            async with load(*rig.ports) as under:
                for seconds in (300, 0, -300):
                    jump.write_text(str(seconds))
                    await asyncio.sleep(stage.seconds(1.5, 10))
                    held.append(sum(one["held"] for one in (await rig.gateway.detailed())["handlers"]))
            used, there = await rig.gateway.usable(rig.service), await are_there(rig, 1)
        finally:
            await ours.kill()
        made = figure("G6", under.ledger, rig.seen())
        made.note(f"of {len(taken)} seats {held} held after each jump")
        made.check("nothing failed", not under.ledger.failed)
        made.check("no seat expired for it", taken == [200] * 20 and held == [20] * 3)
        made.check("no instance and no handler was lost for it", len(used) == 3 and there)
        return made


async def g7(stage: Stage) -> Figure:
    """One gateway writes its access log to a pipe that nobody reads, the other to a disk that is full."""
    async with stage.rig("G7", logging={"level": "info"}) as rig:
        blocked, full = rig.gateway, GatewayProcess("gateway-2", rig.gateway.settings, rig.folder)
        await blocked.kill()
        reading, writing = os.pipe()
        nowhere = os.open("/dev/full", os.O_WRONLY)
        try:
            blocked.start(stdout=writing)
            full.start(stdout=nowhere)
            rig.gateways.append(full)
            for gateway in rig.gateways:
                await eventually(gateway.is_ready)
            await rig.until_usable()
            async with load(*rig.ports, per_s=200) as under:
                await asyncio.sleep(stage.seconds(5, 30))
            dropped = [await g.total("quaymaster_access_log_dropped_total") for g in rig.gateways]
            rss = max(gateway.rss_bytes() for gateway in rig.gateways) >> 20
        finally:
            for descriptor in (reading, writing, nowhere):
                os.close(descriptor)
        made = figure("G7", under.ledger, rig.seen())
        made.note(
            f"lines dropped: {dropped[0]:g} at a blocked pipe, {dropped[1]:g} at a full disk; {rss} MiB"
        )
        made.check("nothing failed", not under.ledger.failed)
        made.check("what a full disk lost is counted", dropped[1] > 0)
        return made


async def g8(stage: Stage) -> Figure:
    async with stage.rig("G8") as rig:
        pid = rig.gateway.pid
        async with load(*rig.ports, patience_s=3) as under:
            await asyncio.sleep(WARM_S)
            before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            few = rig.gateway.descriptors() + SPARE_DESCRIPTORS
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, before[1]))
            crowd = [await asyncio.open_connection("127.0.0.1", rig.gateway.port) for _ in range(PRESSURE)]
            pressed_at = time.monotonic()
            await asyncio.sleep(stage.seconds(2, 10))
            for _, writer in crowd:
                writer.close()
            # The limit stays: only the pressure ends.
            released_at = time.monotonic()
            await asyncio.sleep(stage.seconds(6, 15))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        made = figure("G8", under.ledger, rig.seen())
        late = under.ledger.since(released_at).failed
        last_s = max((call.sent_at - released_at for call in late), default=0.0)
        pressed = under.ledger.since(pressed_at, released_at)
        made.note(f"under pressure {len(pressed.failed)} of {len(pressed.calls)} failed")
        made.note(f"the last failure {ms(last_s)} after it ended")
        made.check("the gateway lives", rig.gateway.running)
        made.check("it recovers by itself", not under.ledger.since(released_at + 5).failed)
        return made


async def reload(stage: Stage) -> Figure:
    """Settings change under load: on SIGHUP, and then the file is wrong."""
    async with stage.rig("reload") as rig:
        gateway, services = rig.gateway, rig.gateway.settings["services"]

        async def reloads(result: str) -> float:
            found = await gateway.metrics()
            return found.get(f'quaymaster_settings_reloads_total{{result="{result}"}}', 0)

        async with load(*rig.ports) as under:
            await asyncio.sleep(WARM_S)
            services[rig.service]["strategy"] = "round_robin"
            gateway.write_settings()
            gateway.send(signal.SIGHUP)

            async def is_applied() -> bool:
                return await reloads("applied") >= 1

            applied_s = await came_true(is_applied, 10)
            gateway.file.write_text("routes: [no")

            async def is_refused() -> bool:
                return await reloads("refused") >= 1

            refused_s = await came_true(is_refused, 10)
            await asyncio.sleep(WARM_S)
            whole = await gateway.is_ready()
        made = figure("reload", under.ledger, rig.seen())
        made.note(f"applied after {ms(applied_s)}, a wrong file refused after {ms(refused_s)}")
        made.check("nothing failed", not under.ledger.failed)
        made.check("new settings are applied", applied_s is not None)
        made.check("wrong ones are refused, and the old ones serve", refused_s is not None and whole)
        return made


ROWS = (
    Row(
        "G1", "gateway replaced three times, by handover", "0 failed, each ends ≤ its drain", g1, quick=False
    ),
    Row("G1-socket", "the same, SIGTERM and start, on systemd's socket", "0 failed", g1_socket, quick=False),
    Row("G3", "the gateway's loop stands still", "0 failed, no instance put aside for it", g3, quick=False),
    Row(
        "G4",
        "clients leave mid-upload and mid-download",
        "active count 0 ≤ 100 ms, nothing poisoned",
        g4,
        quick=False,
    ),
    Row(
        "G6",
        "the wall clock jumps by 5 minutes, on and back",
        "0 failed, no seat expires for it",
        g6,
        quick=False,
    ),
    Row("G7", "log pipe blocked, disk full", "0 failed, lost lines counted", g7, quick=False),
    Row("G8", "no descriptors left", "recovers by itself ≤ 5 s after", g8, quick=False),
    Row("reload", "settings change under load", "0 failed, wrong ones refused", reload),
)
