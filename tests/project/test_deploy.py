"""The containers of docker-compose.yml, checked by every means short of a container engine.

What can't be tried without one (`docker compose up` itself) is said in docs/deployment.md.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.settings import Problems, Settings, load_settings
from tests.project.source import ROOT
from tests.servers import find_program, free_ports, wait_for_port

COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "quaymaster"}
ENV_EXAMPLE = (ROOT / ".env.example").read_text()
SECRETS = set(re.findall(r"^(\w+)=$", ENV_EXAMPLE, re.M))
VARIABLES = re.findall(r"(?<!\$)\$\{(\w+)(:[?-])?", COMPOSE_TEXT)


def words(service: dict[str, Any]) -> list[str]:
    """What the container's process gets, without the image's own entry point."""
    return [*service.get("entrypoint", []), *service.get("command", [])]


def options(service: dict[str, Any]) -> dict[str, str]:
    given = [word for word in words(service) if word != "-m"]
    return {name: value for name, value in pairwise(given) if name.startswith("--")}


def environment(name: str) -> dict[str, str]:
    """With each variable's default in place of the variable."""
    given: dict[str, str] = SERVICES[name].get("environment", {})
    return {key: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value) for key, value in given.items()}


# docker-compose.yml


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_watched_restarted_and_given_time_to_stop(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert int(service["stop_grace_period"].removesuffix("s")) > 10, "Docker's own default"
    by_the_image = name in OURS and "entrypoint" not in service
    check = [] if by_the_image else service["healthcheck"]["test"]
    assert by_the_image or check[0] in ("CMD", "CMD-SHELL")
    assert set(service["networks"]) <= set(COMPOSE["networks"])


def test_a_gateway_is_given_longer_to_stop_than_it_takes() -> None:
    listen = yaml.safe_load((ROOT / "deploy" / "quaymaster.yaml").read_text())["listen"]
    gateways = [service for name, service in SERVICES.items() if name.startswith("gateway-")]
    assert len(gateways) == 2
    for gateway in gateways:
        patience_s = int(gateway["stop_grace_period"].removesuffix("s"))
        assert patience_s > listen["drain_s"] + listen["shutdown_timeout_s"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_waits_until_what_it_needs_is_healthy(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        assert needed in SERVICES
        assert how == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_no_rights_they_do_not_need(name: str) -> None:
    service = OURS[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service, "the image's own user is the one without rights"


def test_one_service_builds_the_image_that_all_use() -> None:
    assert [name for name, service in OURS.items() if "build" in service] == ["gateway-1"]
    assert {service["pull_policy"] for name, service in OURS.items() if name != "gateway-1"} == {"never"}


def test_the_chat_system_is_complete() -> None:
    """consul, redis, two gateways behind one port, two auth, two matching, three handlers, the page."""
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == {
        "front", "consul", "redis", "gateway-1", "gateway-2", "auth-1", "auth-2",
        "matching-1", "matching-2", "handler-1", "handler-2", "handler-3", "page",
    }  # fmt: skip


def test_published_ports_differ_and_stay_on_this_machine_by_default() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == len(set(published)) == 6
    assert all(port.startswith("${LISTEN_ADDRESS:-127.0.0.1}:") for port in published)
    assert not {"consul", "redis"} & {name for name, service in SERVICES.items() if "ports" in service}


def test_a_handler_is_handed_out_at_the_port_it_is_published_on() -> None:
    for name in ("handler-1", "handler-2", "handler-3"):
        (port,) = SERVICES[name]["ports"]
        _, published, inner = port.rsplit(":", 2)
        assert options(SERVICES[name])["--public-url"].rsplit(":", 1)[1] == published
        assert options(SERVICES[name])["--port"] == inner


@pytest.mark.parametrize("name", ["handler-1", "handler-2", "handler-3"])
def test_a_handler_has_time_to_move_its_clients_before_it_is_killed(name: str) -> None:
    grace_s = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert grace_s >= float(options(SERVICES[name])["--drain"]) + 5


def test_what_registers_does_so_under_its_own_name() -> None:
    """The default would be the address of Consul's container."""
    registered = {name: options(service) for name, service in OURS.items() if "entrypoint" in service}
    assert {name: given["--address"] for name, given in registered.items()} == {n: n for n in registered}
    ids = [given["--id"] for given in registered.values()]
    assert len(ids) == len(set(ids))
    assert {given["--consul"] for given in registered.values()} == {"consul:8500"}
    for name in ("handler-1", "handler-2", "handler-3"):
        assert registered[name]["--id"] == name, "handlers find each other by id"
        assert registered[name]["--peer-url"].format(handler_id=name) == f"http://{name}:8000"


@pytest.mark.parametrize("module", sorted({s["entrypoint"][2] for s in OURS.values() if "entrypoint" in s}))
def test_the_chat_services_take_the_arguments_they_are_given(module: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    given = {
        word
        for service in OURS.values()
        if service.get("entrypoint", [None] * 3)[2] == module
        for word in words(service)
        if word.startswith("--")
    }
    assert given <= set(re.findall(r"--[a-z-]+", ran.stdout))


# Secrets


def test_every_secret_must_be_set_and_has_no_default() -> None:
    assert sorted(SECRETS) == ["HANDLER_SECRET", "INTERNAL_KEY", "JWT_SECRET", "REDIS_PASSWORD"]
    assert {(name, how) for name, how in VARIABLES if name in SECRETS} == {(n, ":?") for n in SECRETS}


def test_every_variable_is_explained_in_the_example() -> None:
    explained = set(re.findall(r"^(?:# )?([A-Z_]+)=", ENV_EXAMPLE, re.M))
    assert {name for name, _ in VARIABLES} == explained
    settings = (ROOT / "deploy/quaymaster.yaml").read_text()
    given = SERVICES["gateway-1"]["environment"]
    assert set(re.findall(r"\$\{(\w+)", settings)) == set(given)


def test_a_secret_is_given_only_to_those_who_need_it() -> None:
    holders = {
        secret: {name for name, service in SERVICES.items() if secret in str(service.get("environment"))}
        for secret in SECRETS
    }
    gateways = {"gateway-1", "gateway-2"}
    matching = {"matching-1", "matching-2"}
    assert holders["HANDLER_SECRET"] == gateways
    assert holders["JWT_SECRET"] == gateways | matching | {"auth-1", "auth-2"}
    assert holders["INTERNAL_KEY"] == gateways | matching | {"handler-1", "handler-2", "handler-3"}
    assert holders["REDIS_PASSWORD"] == gateways | {"redis"}


def test_the_recipe_in_the_example_makes_every_secret(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl, which the recipe uses: install it, or write .env by hand")
    recipe = re.sub(r"^#", "", re.findall(r"^# +\(umask.*?\.env\)$", ENV_EXAMPLE, re.M | re.S)[0], flags=re.M)
    subprocess.run(["sh", "-euc", recipe], cwd=tmp_path, check=True)
    made = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
    assert set(made) == SECRETS
    assert all(len(value) >= 32 for value in made.values())
    assert len(set(made.values())) == len(made)
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0


def test_redis_asks_for_its_password_and_stops_by_sigterm() -> None:
    """The command of the file, run here: the shell in it must not keep the signals from Redis."""
    program = find_program("redis-server")
    (port,) = free_ports(1)
    *shell, script = SERVICES["redis"]["command"]
    script = script.replace("$$", "$").replace("requirepass", f"bind 127.0.0.1\nport {port}\nrequirepass")
    path = f"{Path(program).parent}:{os.environ['PATH']}"
    process = subprocess.Popen(
        [*shell, script],
        env={"PATH": path, "REDISCLI_AUTH": "secret"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, process)
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(b"PING\r\nAUTH secret\r\nPING\r\n")
            answers = client.makefile("rb")
            assert [answers.readline()[:5] for _ in range(3)] == [b"-NOAU", b"+OK\r\n", b"+PONG"]
            answers.close()
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait(10)


# The gateways' settings


def gateway_settings(name: str, **changed: str) -> Settings | Problems:
    given = {key: "s" * 40 if key in SECRETS else value for key, value in environment(name).items()}
    return load_settings((ROOT / "deploy/quaymaster.yaml").read_text(), environment=given | changed)


@pytest.mark.parametrize("name", ["gateway-1", "gateway-2"])
def test_the_gateways_start_with_these_settings(name: str) -> None:
    settings = gateway_settings(name)
    assert isinstance(settings, Settings), settings
    assert settings.listen.port == 8000
    assert settings.registry.address == "consul:8500"
    assert settings.registry.advertise_address == name
    assert settings.store.backend == "redis", "what one gateway has promised the other must know"
    assert settings.store.url.get_secret_value() == f"redis://:{'s' * 40}@redis:6379/0"
    (subnet,) = COMPOSE["networks"]["front"]["ipam"]["config"]
    assert f"-{settings.listen.trusted_proxies[0]}}}" in subnet["subnet"]
    (subnet,) = COMPOSE["networks"]["watch"]["ipam"]["config"]
    assert f"-{settings.internal.networks[2]}}}" in subnet["subnet"]
    grace_s = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert grace_s > settings.listen.drain_s + settings.listen.shutdown_timeout_s


def test_they_do_not_start_without_a_secret() -> None:
    refused = gateway_settings("gateway-1", JWT_SECRET="", INTERNAL_KEY="short", HANDLER_SECRET="short")
    assert isinstance(refused, Problems)
    assert {"internal.key", "handlers.secret"} <= {problem.key for problem in refused.items}
    assert "identity.secret" in str(refused)


def test_they_route_what_the_chat_system_routes() -> None:
    chat, here = (
        yaml.safe_load((ROOT / path).read_text())
        for path in ("examples/chat/quaymaster.yaml", "deploy/quaymaster.yaml")
    )
    assert (here["services"], here["routes"]) == (chat["services"], chat["routes"])


# The front and the engine's own tools, where they are


def test_the_front_alone_is_trusted_by_the_gateways() -> None:
    """Who shares the network of the front and the gateways could claim to be any client."""
    assert {name for name, service in SERVICES.items() if "front" in service["networks"]} == {
        "front", "gateway-1", "gateway-2",
    }  # fmt: skip
    shared = set(SERVICES["front"]["networks"]) & set(SERVICES["gateway-1"]["networks"])
    assert shared == {"front"}, "the front must not reach a gateway by another network"


def test_prometheus_alone_is_asked_for_no_key() -> None:
    """Who shares its network with the gateways may use every internal endpoint."""
    assert {name for name, service in SERVICES.items() if "watch" in service["networks"]} == {
        "prometheus", "gateway-1", "gateway-2",
    }  # fmt: skip
    watching = {name for name, service in SERVICES.items() if service.get("profiles")}
    assert watching == {"prometheus", "grafana"}
    assert set(SERVICES["grafana"]["networks"]) & set(SERVICES["prometheus"]["networks"]) == {"graphs"}


def test_the_front_knows_both_gateways_and_the_handlers_know_the_front() -> None:
    front = (ROOT / "deploy/Caddyfile").read_text()
    assert set(re.findall(r"gateway-\d:\d+", front)) == {"gateway-1:8000", "gateway-2:8000"}
    assert {"gateway-1", "gateway-2"} == set(SERVICES["front"]["depends_on"])
    assert {options(SERVICES[f"handler-{n}"])["--gateway"] for n in (1, 2, 3)} == {"http://front:8000"}
    caddy = shutil.which("caddy")
    if caddy is None:
        pytest.skip("no caddy on PATH: the front's file is read here, not validated")
    command = [caddy, "validate", "--adapter", "caddyfile", "--config", str(ROOT / "deploy/Caddyfile")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_docker_compose_accepts_the_file() -> None:
    """A skip also in continuous integration: this project needs no container engine."""
    docker = shutil.which("docker")
    plugin = docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
    if not docker or not plugin or plugin.returncode != 0:
        pytest.skip("no `docker compose` plugin: the file is checked by the other tests only")
    command = [docker, "compose", "--file", str(ROOT / "docker-compose.yml"), "config", "--quiet"]
    complete = os.environ | dict.fromkeys(SECRETS, "x" * 32)
    ran = subprocess.run(command, env=complete, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    lacking = os.environ | {"COMPOSE_DISABLE_ENV_FILE": "1"}
    refused = subprocess.run(command, env=lacking, capture_output=True, text=True, check=False)
    assert "in .env" in refused.stderr
