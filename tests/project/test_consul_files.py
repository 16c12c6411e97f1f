"""The files of `consul/`, tried on a real agent that denies what no token allows."""

import http.client
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from gateway.settings import RegistrySettings
from tests.project.health import answers_health
from tests.project.source import ROOT
from tests.servers import find_program, free_ports

CONSUL_FILES = ROOT / "consul"


@dataclass(frozen=True)
class GuardedConsul:
    """A real agent that denies what no token allows."""

    program: str
    address: str
    management: str

    def run(self, command: str, token: str) -> str:
        """A `consul …` command as the README writes it, in the project's folder."""
        environment = {**os.environ, "CONSUL_HTTP_ADDR": self.address, "CONSUL_HTTP_TOKEN": token}
        done = subprocess.run(
            [self.program, *shlex.split(command)[1:]],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def token(self, command: str) -> str:
        return str(json.loads(self.run(f"{command} -format=json", self.management))["SecretID"])

    def ask(self, method: str, path: str, token: str, body: object = None) -> tuple[int, Any]:
        return ask(self.address, method, path, token, body)


def ask(address: str, method: str, path: str, token: str = "", body: object = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"X-Consul-Token": token})
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, json.loads(text) if text[:1] in ("{", "[") else text
    finally:
        connection.close()


@pytest.fixture(scope="module")
def guarded() -> Iterator[GuardedConsul]:
    program = find_program("consul")
    http_port, *others = free_ports(4)
    ports = [f"-{n}-port={p}" for n, p in zip(("server", "serf-lan", "serf-wan"), others, strict=True)]
    process = subprocess.Popen(
        [
            program, "agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", "-log-level=err",
            f"-http-port={http_port}", *ports, "-dns-port=-1", "-grpc-port=-1",
            '-hcl=acl { enabled = true default_policy = "deny" } performance { raft_multiplier = 1 }',
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield GuardedConsul(program, f"127.0.0.1:{http_port}", bootstrap(f"127.0.0.1:{http_port}"))
    finally:
        process.kill()
        process.wait(10)


def bootstrap(address: str) -> str:
    """The management token, once the agent has a leader."""
    deadline = monotonic() + 20
    while True:
        try:
            status, answer = ask(address, "PUT", "/v1/acl/bootstrap")
        except OSError:
            status, answer = 0, "does not listen"
        if status == 200:
            return str(answer["SecretID"])
        assert monotonic() < deadline, answer
        sleep(0.05)


def readme_commands(start: str) -> list[str]:
    """Commands of consul/README.md that begin so, without their comments."""
    lines = (CONSUL_FILES / "README.md").read_text().splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.startswith(start)]


@pytest.mark.parametrize("role", ["server", "client"])
def test_consul_accepts_the_agents_configuration(role: str, tmp_path: Path) -> None:
    program = find_program("consul")
    gossip = tmp_path / "gossip.hcl"
    key = subprocess.run([program, "keygen"], capture_output=True, text=True, check=True).stdout.strip()
    gossip.write_text(f'encrypt = "{key}"\n')
    files = [CONSUL_FILES / f"{role}.hcl", gossip, *([CONSUL_FILES / "services"] if role == "client" else [])]
    ran = subprocess.run([program, "validate", *files], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "deprecated" not in (ran.stdout + ran.stderr).lower()


def test_the_gateways_token_can_do_its_work_and_nothing_else(guarded: GuardedConsul) -> None:
    policy, token = (c for c in readme_commands("consul acl") if "quaymaster-gateway" in c)
    guarded.run(policy, guarded.management)
    gateway = guarded.token(token)
    own = {
        "ID": "gw",
        "Name": RegistrySettings().register_as,
        "Port": 8000,
        "Check": {"CheckID": "gw-ttl", "TTL": "10s"},
    }

    allowed: list[tuple[str, str, object]] = [
        ("PUT", "/v1/agent/service/register", own),
        ("PUT", "/v1/agent/check/pass/gw-ttl", None),
        ("PUT", "/v1/agent/check/update/gw-ttl", {"Status": "passing", "Output": "serving"}),
        ("PUT", "/v1/agent/service/maintenance/gw?enable=true&reason=test", None),
        ("GET", "/v1/health/service/quaymaster?stale", None),
        ("GET", "/v1/catalog/services?stale", None),
        ("PUT", "/v1/agent/service/deregister/gw", None),
    ]
    assert [(path, guarded.ask(m, path, gateway, body)[0]) for m, path, body in allowed] == [
        (path, 200) for _, path, _ in allowed
    ]

    guarded.ask("PUT", "/v1/agent/service/register", guarded.management, {"ID": "a", "Name": "other"})
    other = {"Node": "elsewhere", "Address": "127.0.0.9", "Service": {"Service": "quaymaster", "Port": 1}}
    refused: list[tuple[str, str, object]] = [
        ("PUT", "/v1/agent/service/register", {"ID": "evil", "Name": "other", "Port": 1}),
        ("PUT", "/v1/agent/service/deregister/a", None),
        ("PUT", "/v1/agent/service/maintenance/a?enable=true", None),
        ("PUT", "/v1/catalog/register", other),
        ("GET", "/v1/kv/any", None),
        ("PUT", "/v1/kv/any", "value"),
        ("GET", "/v1/acl/tokens", None),
        ("GET", "/v1/agent/self", None),
        ("PUT", "/v1/agent/leave", None),
    ]
    assert [(path, guarded.ask(m, path, gateway, body)[0]) for m, path, body in refused] == [
        (path, 403) for _, path, _ in refused
    ]


def test_without_a_token_consul_looks_empty(guarded: GuardedConsul) -> None:
    """The trap consul/README.md warns of: no error, just nothing."""
    guarded.ask("PUT", "/v1/agent/service/register", guarded.management, {"ID": "b", "Name": "hidden"})
    assert guarded.ask("GET", "/v1/health/service/hidden", "") == (200, [])
    assert guarded.ask("GET", "/v1/catalog/services", "") == (200, {})


@pytest.mark.parametrize("name", ["auth", "matching", "websocket-handler"])
def test_a_service_definition_registers_and_becomes_healthy(
    name: str, guarded: GuardedConsul, tmp_path: Path
) -> None:
    token = guarded.token(f"consul acl token create -service-identity {name}")
    with answers_health(200) as port:
        text = (CONSUL_FILES / f"services/{name}.hcl").read_text()
        text = re.sub(r"10\.0\.0\.\d+:\d+", f"127.0.0.1:{port}", text)
        here = tmp_path / f"{name}.hcl"
        here.write_text(re.sub(r'interval = "\d+s"', 'interval = "50ms"', text))
        guarded.run(f"consul services register {here}", token)
        try:
            if "ttl " in text:
                (path,) = re.findall(r"8500(/v1/agent/check/\S+)", text)
                assert guarded.ask("PUT", path, token)[0] == 200
            deadline = monotonic() + 10
            while not (found := guarded.ask("GET", f"/v1/health/service/{name}?passing", token)[1]):
                assert monotonic() < deadline
                sleep(0.02)
            service = found[0]["Service"]
            assert service["Address"].startswith("10.0.0.")
            if name == "websocket-handler":
                assert set(service["Meta"]) == {"public_url", "path", "capacity"}
        finally:
            guarded.run(f"consul services deregister {here}", token)
