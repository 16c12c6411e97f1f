"""The command line: by real processes where it runs something, in this one where it only speaks."""

import json
import signal
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import HIGHEST_DEMO_PORT, app
from gateway.runtime.demo import AGENT_PORT_OFFSET
from gateway.runtime.tracing import MISSING
from tests.balancer.origins import Behaviour, answers, origin
from tests.gateway import programs
from tests.gateway.runtime.consuls import registered
from tests.gateway.runtime.gateways import ask, eventually, settings_text
from tests.gateway.runtime.test_tracing import without_packages
from tests.servers import ConsulAgent, free_ports


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "quaymaster.yaml"
    file.write_text(settings_text())
    return file


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """Three mistakes: a misspelt key, a value of the wrong type, and a service that nobody defines."""
    file = tmp_path / "quaymaster.yaml"
    file.write_text(
        """
listen: {prot: 9000}
identity: {secret: "a secret of the gateway's tests, long enough", leeway_s: soon}
services: {auth: {}}
routes: [{path: /x, service: auht, access: public}]
"""
    )
    return file


def says_all_three(ran: programs.Ran, file: Path) -> None:
    assert (ran.code, ran.out) == (1, "")
    lines = ran.err.splitlines()
    assert lines[0] == f"{file}: 3 problems"
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "listen.prot",
        "identity.leeway_s",
        "routes[0].service",
    ]
    assert "Traceback" not in ran.err


def speaks(*arguments: str | Path) -> programs.Ran:
    """A command that runs nothing, in this process."""
    ran = CliRunner().invoke(app, list(map(str, arguments)), env=dict.fromkeys(programs.OURS))
    return programs.Ran(ran.exit_code, ran.stdout, ran.stderr)


# serve, check, schema


async def test_three_mistakes_are_said_at_once_with_their_keys(bad: Path) -> None:
    says_all_three(await programs.run("serve", "--config", bad), bad)
    says_all_three(speaks("check", bad), bad)


def test_a_good_file_is_good(good: Path) -> None:
    ran = speaks("check", good)
    what = "1 service, 3 routes, 0 handler pools, store memory"
    assert (ran.code, ran.out, ran.err) == (0, f"{good}: good ({what})\n", "")


def test_traces_without_their_packages_are_a_problem(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_packages(monkeypatch)
    good.write_text(settings_text(tracing={"enabled": True}))
    ran = speaks("check", good)
    assert (ran.code, ran.err) == (1, f"{good}: 1 problem\n{MISSING}\n")


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    ran = speaks("serve", "--config", tmp_path / "none.yaml")
    assert (ran.code, ran.err) == (1, f"{tmp_path / 'none.yaml'}: can't be read: No such file or directory\n")


def test_a_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "binary"
    file.write_bytes(b"\xff\xfe\x00")
    ran = speaks("check", file)
    assert ran.code == 1
    assert ran.err.startswith(f"{file}: can't be read: ")
    assert len(ran.err.splitlines()) == 1


def test_a_secret_that_nobody_set_is_named_with_what_needs_it() -> None:
    ran = speaks("serve")
    assert ran.code == 1
    assert "identity.secret" in ran.err
    assert "JWT_SECRET" in ran.err
    assert "/matching" in ran.err


async def test_a_port_in_use_is_one_line(good: Path) -> None:
    async with origin(answers(b"")) as somebody:
        port = somebody.instance.port
        ran = await programs.run("serve", "--config", good, "--set", f"listen.port={port}")
        assert ran.code == 1
        assert ran.err.splitlines()[-1] == (
            f"listen.port: 127.0.0.1:{port} is in use; stop what listens there or set another port"
        )
        assert "Traceback" not in ran.err


def test_an_override_without_a_value_says_how_to_write_one(good: Path) -> None:
    ran = speaks("serve", "--config", good, "--set", "listen.port")
    assert (ran.code, ran.err) == (1, "--set listen.port: write KEY=VALUE, such as listen.port=9000\n")


async def test_serve_takes_overrides_from_the_command_and_the_environment(good: Path) -> None:
    """The command's come last, so they hold."""
    one, other = free_ports(2)
    env = {"QUAYMASTER__LISTEN__PORT": str(other), "QUAYMASTER__LOGGING__LEVEL": "info"}
    async with programs.serving(
        one, "serve", "--config", good, "--set", f"listen.port={one}", env=env
    ) as process:
        assert (await ask(one, "GET", "/ping?token=canary")).json() == {"message": "API Gateway работает"}
        process.send_signal(signal.SIGTERM)
        ran = await programs.ended(process)
    assert ran.code == 0
    requests = [json.loads(line) for line in ran.out.splitlines()]
    assert [event["path"] for event in requests if event["path"] == "/ping"] == ["/ping"]
    assert "canary" not in ran.out + ran.err
    assert all(json.loads(line)["event"] for line in ran.err.splitlines())


def test_the_schema_is_json_schema_of_the_settings() -> None:
    ran = speaks("schema")
    schema = json.loads(ran.out)
    assert ran.code == 0
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert set(schema["properties"]) >= {"listen", "registry", "services", "routes", "handlers"}


def test_help_names_every_command_and_none_of_later() -> None:
    ran = speaks("--help")
    assert ran.code == 0
    for command in ("serve", "check", "schema", "proxy", "register", "demo"):
        assert f" {command} " in ran.out
    for later in ("explain", "drain", "dashboard"):
        assert f" {later} " not in ran.out


@pytest.mark.parametrize("arguments", [["nonsense"], ["check"], ["serve", "--port", "1"]])
def test_a_command_that_is_none_is_a_usage_error(arguments: list[str]) -> None:
    ran = speaks(*arguments)
    assert ran.code == 2
    assert "Traceback" not in ran.err


# proxy


def named(name: bytes) -> Behaviour:
    return answers(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + name)


async def test_a_proxy_goes_round_its_addresses() -> None:
    (port,) = free_ports(1)
    async with origin(named(b"a")) as a, origin(named(b"b")) as b:
        to = [f"--to=:{a.instance.port}", f"--to=127.0.0.1:{b.instance.port}"]
        async with programs.serving(
            port, "proxy", "--from", f":{port}", *to, "--strategy", "round_robin"
        ) as process:
            answered = [(await ask(port, "GET", "/any/path?q")).body for _ in range(6)]
            assert answered in ([b"a", b"b"] * 3, [b"b", b"a"] * 3)
            process.send_signal(signal.SIGINT)
            await eventually(lambda: is_draining(port))
            # Once more, as there is nobody to hear of the draining.
            process.send_signal(signal.SIGINT)
            assert (await programs.ended(process)).code == 0


async def is_draining(port: int) -> bool:
    return (await ask(port, "GET", "/health/ready")).status == 503


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "8080", "--to", ":9001"], "--from and --to must be [HOST]:PORT"),
        (["--from", ":8080", "--to", "http://a:9001"], "--from and --to must be [HOST]:PORT"),
        (["--from", ":8080", "--to", ":9001", "--strategy", "best"], "services.proxy.strategy"),
    ],
)
def test_a_proxy_that_can_not_be_is_said(arguments: list[str], said: str) -> None:
    ran = speaks("proxy", *arguments)
    assert ran.code == 1
    assert said in ran.err
    assert "Traceback" not in ran.err


# register

PROGRAM = """
import signal, socket, sys, urllib.request
port, consul, log = int(sys.argv[1]), sys.argv[2], sys.argv[3]
def stop(number, frame):
    # Whoever asks the registry at the moment of the signal must not find us any more.
    with urllib.request.urlopen(f"http://{consul}/v1/catalog/service/cli-program") as answer:
        open(log, "wb").write(answer.read())
    sys.exit(7)
signal.signal(signal.SIGTERM, stop)
server = socket.create_server(("127.0.0.1", port))
while True:
    server.accept()[0].close()
"""


def program(port: int, consul: ConsulAgent, log: Path) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(port), consul.address, str(log)]


async def test_a_registered_program_leaves_the_registry_before_it_hears_of_its_end(
    consul: ConsulAgent, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    found = tmp_path / "found"
    process = await programs.start(
        *("register", "--name", "cli-program", "--port", str(port), "--id", "cli-program-1"),
        *(
            "--address",
            "127.0.0.1",
            "--propagation",
            "0.1",
            "--tag",
            "blue",
            "--meta",
            "zone=a",
            "--weight",
            "3",
        ),
        *("--", *program(port, consul, found)),
        env={"CONSUL_HTTP_ADDR": consul.address},
    )

    async def is_registered() -> bool:
        return await registered(consul, "cli-program") == ["cli-program-1"]

    await eventually(is_registered)
    process.send_signal(signal.SIGTERM)
    ran = await programs.ended(process)
    assert ran.code == 7, "the program's own"
    assert found.read_text().strip() == "[]"
    assert await registered(consul, "cli-program") == []


async def test_a_program_that_ends_by_itself_takes_its_registration_with_it(consul: ConsulAgent) -> None:
    (port,) = free_ports(1)
    ends = [sys.executable, "-c", "raise SystemExit(3)"]
    ran = await programs.run(
        *("register", "--name", "cli-brief", "--port", str(port), "--consul", consul.address), "--", *ends
    )
    assert ran.code == 3
    assert await registered(consul, "cli-brief") == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--port", "9001"], 2, "CMD"),
        (["--port", "0", "--", "true"], 2, "--port"),
        (["--", "true"], 2, "--port"),
        (["--port", "9001", "--meta", "zone", "--", "true"], 1, "--meta zone: write KEY=VALUE"),
        (["--port", "9001", "--meta", "=a", "--", "true"], 1, "write KEY=VALUE"),
    ],
)
def test_a_registration_that_is_not_complete_is_said(arguments: list[str], code: int, said: str) -> None:
    ran = speaks("register", "--name", "x", *arguments)
    assert ran.code == code
    assert said in ran.err


async def test_a_program_that_can_not_be_started_is_one_line() -> None:
    ran = await programs.run("register", "--name", "x", "--port", "9001", "--", "/no/such/program")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert ran.err.startswith("/no/such/program: can't be started")


# demo


def test_a_demo_whose_other_ports_do_not_exist_is_a_usage_error() -> None:
    assert HIGHEST_DEMO_PORT + AGENT_PORT_OFFSET == 65_535
    ran = speaks("demo", "--port", str(HIGHEST_DEMO_PORT + 1))
    assert ran.code == 2
    assert str(HIGHEST_DEMO_PORT) in ran.err
