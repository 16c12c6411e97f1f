"""The command line, as processes of their own: what it prints, and how it ends."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.balancer.origins import answers, origin
from tests.gateway.runtime.consuls import registered
from tests.gateway.runtime.gateways import ask, eventually, ready
from tests.servers import ROOT, ConsulAgent, free_ports

SECRETS = {"JWT_SECRET": "s" * 32}


@dataclass(frozen=True)
class Ended:
    code: int | None
    out: str
    err: str


@asynccontextmanager
async def started(
    *arguments: str, environment: Mapping[str, str] = SECRETS
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`quaymaster ARGUMENTS`, ended at the latest at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *arguments),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ended(*arguments: str, environment: Mapping[str, str] = SECRETS) -> Ended:
    """`quaymaster ARGUMENTS` until it has ended by itself."""
    async with started(*arguments, environment=environment) as process, asyncio.timeout(30):
        out, err = await process.communicate()
    return Ended(process.returncode, out.decode(), err.decode())


async def test_check_lists_every_problem_with_its_key(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(
        "listen: {port: 99999, prot: 1}\nservices: {auth: {strategy: lest_connections}}\nroutes: []\n"
    )
    found = await ended("check", str(file))
    assert found.code == 1
    assert found.out == ""
    for key in ("3 problems", "listen.port: ", "listen.prot: ", "services.auth.strategy: "):
        assert key in found.err
    assert "Traceback" not in found.err
    served = await ended("serve", "--config", str(file))
    assert (served.code, served.err) == (1, found.err)


async def test_check_says_that_a_file_is_good(tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text("listen: {port: 9000}\n")
    assert await ended("check", str(file)) == Ended(0, f"{file}: good (2 services, 5 routes)\n", "")
    unset = await ended("check", str(file), environment={})
    assert unset.code == 1
    assert "identity.secret: is not set, but" in unset.err
    assert "/matching" in unset.err


async def test_a_file_that_cannot_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    for file, said in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "directory")):
        found = await ended("serve", "--config", str(file))
        assert found.code == 1
        assert said in found.err
        assert found.err.count("\n") == 1


async def test_set_overrides_and_must_be_a_pair() -> None:
    bad = await ended("serve", "--set", "listen.port")
    assert (bad.code, bad.err) == (1, "--set listen.port: write KEY=VALUE, such as listen.port=9000\n")
    wrong = await ended("serve", "--set", "listen.port=many")
    assert wrong.code == 1
    assert "listen.port: " in wrong.err


async def test_schema_is_a_json_schema() -> None:
    found = await ended("schema")
    schema = json.loads(found.out)
    assert found.code == 0
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert {"listen", "registry", "services", "routes"} <= set(schema["properties"])


async def test_a_port_in_use_ends_serve_with_one_line() -> None:
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    agent = f"registry.address=127.0.0.1:{free_ports(1)[0]}"
    async with server:
        found = await ended(
            *("serve", "--set", f"listen.port={port}", "--set", agent, "--set", "logging.level=error")
        )
    assert found.code == 1
    assert found.err == (
        f"listen.port: 127.0.0.1:{port} is in use; stop what listens there or set another port\n"
    )


async def test_proxy_balances_fixed_addresses_without_a_file() -> None:
    hello = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    (port,) = free_ports(1)
    async with (
        origin(answers(hello + b"a1"), "a") as a,
        origin(answers(hello + b"b2"), "b") as b,
        started(
            *("proxy", "--from", f":{port}", "--to", f":{a.instance.port}", "--to", f":{b.instance.port}"),
            *("--strategy", "round_robin"),
        ) as process,
    ):
        await eventually(lambda: listens(port))
        await ready(port)
        bodies = [(await ask(port, "GET", f"/any/{n}")).body for n in range(4)]
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            await process.wait()
    assert sorted(bodies) == [b"a1", b"a1", b"b2", b"b2"]
    assert bodies[0] != bodies[1]


async def test_proxy_says_what_an_address_is() -> None:
    for arguments in (("--from", "8080", "--to", ":9001"), ("--from", ":8080", "--to", "nowhere")):
        found = await ended("proxy", *arguments)
        assert found.code == 1
        assert found.err.startswith("--from and --to must be [HOST]:PORT")


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


TRAPS_SIGTERM = """
import signal, socket, sys, urllib.request, json
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
def leave(*_):
    url = f"http://{sys.argv[2]}/v1/catalog/service/wrapped"
    print("registered when told:", len(json.load(urllib.request.urlopen(url))), flush=True)
    sys.exit(5)
signal.signal(signal.SIGTERM, leave)
while True:
    server.accept()[0].close()
"""


async def test_register_takes_a_program_out_of_the_registry_before_it_tells_it_to_stop(
    consul: ConsulAgent,
) -> None:
    (port,) = free_ports(1)
    arguments = ("--name", "wrapped", "--port", str(port), "--address", "127.0.0.1", "--id", "wrapped-1")

    async def is_registered() -> bool:
        return await registered(consul, "wrapped") == ["wrapped-1"]

    async with started(
        *("register", *arguments, "--consul", consul.address, "--meta", "zone=a", "--propagation", "0.1"),
        *("--", sys.executable, "-c", TRAPS_SIGTERM, str(port), consul.address),
    ) as process:
        await eventually(is_registered)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            out, _ = await process.communicate()
    assert process.returncode == 5, "the program's own exit status"
    assert b"registered when told: 0" in out


async def test_register_needs_a_program_and_pairs() -> None:
    missing = await ended("register", "--name", "web", "--port", "1")
    assert missing.code == 2
    assert "CMD" in missing.err
    meta = await ended("register", "--name", "web", "--port", "1", "--meta", "zone", "--", "true")
    assert (meta.code, meta.err) == (1, "--meta zone: write KEY=VALUE\n")
