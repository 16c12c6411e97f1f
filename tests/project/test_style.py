"""ruff and mypy --strict, on source and tests, so that `pytest` alone holds the house rules."""

import subprocess
import sys
import tomllib

import pytest

from tests.project.source import ROOT


@pytest.mark.timeout(300)  # mypy from nothing, with other tests beside it
@pytest.mark.parametrize(
    "command", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join
)
def test_the_linters_are_content(command: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_rules_are_the_strict_ones() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert settings["mypy"]["strict"]
    assert {"registry", "balancer", "handlers", "gateway", "examples", "tests"} <= set(
        settings["mypy"]["files"]
    )
    assert settings["pytest"]["ini_options"]["filterwarnings"] == ["error"]
