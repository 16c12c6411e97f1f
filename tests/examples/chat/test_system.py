import argparse
import importlib
import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.chat.system import plan
from gateway.runtime.processes import STOP_S
from gateway.settings import Problems, Settings, load_settings
from tests.servers import ConsulAgent, free_ports, wait_for_port

SECRETS = {"JWT_SECRET": "j" * 32, "INTERNAL_KEY": "k" * 32}
SETTINGS = Path(__file__).parents[3] / "examples" / "chat" / "quaymaster.yaml"


def settings() -> Any:
    return yaml.safe_load(SETTINGS.read_text())


def test_the_whole_system_is_there() -> None:
    specs = plan(8000, "127.0.0.1:8500", Path("/data"), SECRETS, python="python")
    assert [spec.name for spec in specs] == [
        "auth-1", "auth-2", "matching-1", "matching-2", "WSH1", "WSH2", "WSH3", "chat-page-1",
    ]  # fmt: skip
    assert specs[4].argv == (
        "python", "-m", "examples.chat.handler", "--port", "8001", "--consul", "127.0.0.1:8500",
        "--id", "WSH1", "--gateway", "http://127.0.0.1:8000", "--drain", "2",
    )  # fmt: skip
    assert specs[4].health_url == "http://127.0.0.1:8001/health"


def test_nobody_waits_long_at_ctrl_c_for_clients_that_have_nowhere_to_go() -> None:
    """All handlers stop at once, so each waits for its whole time."""
    handlers = [spec.argv for spec in plan(8000, "127.0.0.1:8500", Path("/data"), SECRETS)][4:7]
    for argv in handlers:
        assert float(argv[argv.index("--drain") + 1]) <= STOP_S / 2


def test_ports_are_all_different_and_follow_the_gateways() -> None:
    urls = [spec.health_url for spec in plan(18000, "127.0.0.1:8500", Path("/data"), SECRETS)]
    assert len(set(urls)) == 8
    assert all(url.startswith("http://127.0.0.1:180") for url in urls)


def test_each_process_gets_the_secrets_it_needs_and_none_on_its_command_line() -> None:
    specs = plan(8000, "127.0.0.1:8500", Path("/data"), SECRETS)
    needed = {spec.name.rstrip("123").rstrip("-"): set(spec.env) for spec in specs}
    assert needed == {
        "auth": {"JWT_SECRET"},
        "matching": {"JWT_SECRET", "INTERNAL_KEY"},
        "WSH": {"INTERNAL_KEY"},
        "chat-page": set(),
    }
    arguments = " ".join(argument for spec in specs for argument in spec.argv)
    assert not any(secret in arguments for secret in SECRETS.values())


@pytest.mark.parametrize("port", [0, -1, 65505, 70000])
def test_a_port_without_room_behind_it_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match="the gateway's port must be from 1 to 65504"):
        plan(port, "127.0.0.1:8500", Path("/data"), SECRETS)


@pytest.mark.parametrize("module", ["auth", "matching", "handler", "web"])
def test_the_planned_arguments_are_those_the_programs_take(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan's command lines, read by the programs' own parsers: nothing is started."""
    taken: list[argparse.Namespace] = []
    program = importlib.import_module(f"examples.chat.{module}")
    monkeypatch.setattr("examples.chat.service.run", lambda _app, options: taken.append(options))
    monkeypatch.setattr(program, "run", lambda _app, options: taken.append(options), raising=False)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    specs = [
        spec
        for spec in plan(8000, "127.0.0.1:8500", Path("/data"), SECRETS)
        if spec.argv[2] == f"examples.chat.{module}"
    ]
    for spec in specs:
        monkeypatch.setattr(sys, "argv", [module, *spec.argv[3:]])
        program.main()
    assert [options.id for options in taken] == [spec.name for spec in specs]


@pytest.mark.parametrize("module", ["auth", "matching"])
def test_a_service_without_its_secret_does_not_start(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = importlib.import_module(f"examples.chat.{module}")
    monkeypatch.setattr(sys, "argv", [module, "--port", "9001", "--database", "chat.db"])
    monkeypatch.setenv("JWT_SECRET", "short")
    with pytest.raises(SystemExit, match="JWT_SECRET must have at least 32 bytes, it has 5"):
        program.main()


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        spec = plan(port - 31, "127.0.0.1:9", tmp_path, SECRETS)[-1]
        ran = subprocess.run(spec.argv, cwd=SETTINGS.parents[2], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    last = ran.stderr.strip().splitlines()[-1]
    assert last.startswith(f"can't serve on 127.0.0.1:{port}")
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["handler", "--gateway", "http://127.0.0.1:8000", "--capacity", "0"], "capacity"),
        (["handler", "--gateway", "http://127.0.0.1:8000", "--public-url", "ws//x"], "public_url"),
        (["handler", "--gateway", "http://127.0.0.1:8000", "--drain", "0"], "drain_s"),
        (["web", "--id", "no spaces please"], "id"),
    ],
)
def test_arguments_that_cannot_be_right_are_one_clear_line(
    arguments: list[str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = importlib.import_module(f"examples.chat.{arguments[0]}")
    monkeypatch.setattr(sys, "argv", [*arguments, "--port", "8001"])
    with pytest.raises(SystemExit, match=problem):
        program.main()


def registered(consul: ConsulAgent) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://{consul.address}/v1/agent/services") as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def test_a_planned_process_registers_serves_and_leaves(tmp_path: Path, consul: ConsulAgent) -> None:
    (port,) = free_ports(1)
    spec = plan(port - 11, consul.address, tmp_path, SECRETS)[0]
    process = subprocess.Popen(spec.argv, env=dict(spec.env), cwd=SETTINGS.parents[2])
    try:
        wait_for_port(port, process)
        with urllib.request.urlopen(spec.health_url) as answer:
            assert answer.status == 200
        deadline = time.monotonic() + 10
        while "auth-1" not in registered(consul) and time.monotonic() < deadline:
            time.sleep(0.05)
        instance = registered(consul)["auth-1"]
        assert (instance["Service"], instance["Port"]) == ("auth", port)
        process.terminate()
        assert process.wait(20) == 0
        assert "auth-1" not in registered(consul)
    finally:
        process.kill()
        process.wait(10)


def test_every_route_leads_to_a_service_of_the_plan() -> None:
    ids = [spec.name for spec in plan(8000, "127.0.0.1:8500", Path("/data"), SECRETS)]
    for route in settings()["routes"]:
        assert any(name.startswith(f"{route['service']}-") for name in ids)
        assert route["service"] in settings()["services"]


def test_what_must_not_happen_twice_is_not_sent_twice() -> None:
    retry = {route["path"]: route.get("retry") for route in settings()["routes"]}
    assert retry["/register"] == retry["/matching"] == "unsent"


def test_the_gateway_takes_the_settings() -> None:
    read = load_settings(SETTINGS.read_text(), environment=SECRETS)
    assert isinstance(read, Settings), str(read)
    missing = load_settings(SETTINGS.read_text(), environment={})
    assert isinstance(missing, Problems)
    assert "set JWT_SECRET" in str(missing)


def test_the_settings_hold_no_secret() -> None:
    assert settings()["identity"]["secret"] == "${JWT_SECRET:-}"
    assert settings()["internal"]["key"] == "${INTERNAL_KEY:-}"
