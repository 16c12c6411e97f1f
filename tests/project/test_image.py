"""The Dockerfile: what the image holds, whom it runs as, and whether its health check is right."""

import json
import os
import re
import subprocess
import sys
import tomllib

import pytest

from tests.project.health import answers_health
from tests.project.source import ROOT
from tests.project.test_deploy import SERVICES

DOCKERFILE = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
INSTRUCTIONS = re.findall(r"^([A-Z]+) +(.*)$", DOCKERFILE, re.M)


def instruction(name: str) -> list[str]:
    return [rest for found, rest in INSTRUCTIONS if found == name]


def test_the_image_runs_without_rights_and_stops_by_sigterm() -> None:
    *_, (last_from, _) = [(i, rest) for i, (name, rest) in enumerate(INSTRUCTIONS) if name == "FROM"]
    final = INSTRUCTIONS[last_from:]
    assert len(instruction("FROM")) == 2
    assert all("-slim" in stage for stage in instruction("FROM"))
    (user,) = [rest for name, rest in final if name == "USER"]
    assert int(user.split(":")[0]) > 0
    assert instruction("STOPSIGNAL") == ["SIGTERM"]
    assert instruction("EXPOSE") == ["8000"]
    assert json.loads(instruction("ENTRYPOINT")[0]) == ["quaymaster"]
    assert json.loads(instruction("CMD")[0])[0] == "serve"
    assert not {"sudo", "curl", "latest"} & set(
        re.findall(r"\w+", " ".join(rest for _, rest in INSTRUCTIONS))
    )


def test_the_image_holds_what_the_lock_names() -> None:
    installs = [part for run in instruction("RUN") for part in run.split("&&") if "pip install" in part]
    assert [("--require-hashes" in part, "--no-deps" in part) for part in installs] == [
        (True, False),
        (True, False),
        (False, True),
    ]


def test_the_engine_gets_only_what_the_image_copies() -> None:
    """An allow-list: neither .env nor .git nor .venv can slip in, whatever else they are joined by."""
    copied = {
        path for rest in instruction("COPY") if not rest.startswith("--from") for path in rest.split()[:-1]
    }
    assert all((ROOT / path).exists() for path in copied)
    lines = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert lines[0] == "*"
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == copied
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= copied
    assert {project["project"]["readme"], *project["project"]["license-files"]} <= copied


HEALTH_CHECKS = {
    "image": json.loads(instruction("HEALTHCHECK")[0].partition("CMD ")[2]),
    "chat": SERVICES["auth-1"]["healthcheck"]["test"][1:],
}


@pytest.mark.parametrize("check", HEALTH_CHECKS.values(), ids=HEALTH_CHECKS.keys())
def test_the_health_check_tells_well_from_ill(check: list[str]) -> None:
    program, *rest = check
    assert program == "python"

    def run(port: int) -> int:
        script = [word.replace("8000", str(port)) for word in rest]
        proxy = os.environ | {"http_proxy": "http://127.0.0.1:9"}
        return subprocess.run(
            [sys.executable, *script], env=proxy, capture_output=True, check=False
        ).returncode

    with answers_health(200) as port:
        assert run(port) == 0
    with answers_health(503) as port:
        assert run(port) == 1
    assert run(port) == 1, "nobody listens"
