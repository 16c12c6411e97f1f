"""What `make test` lints by are the strict rules, and it does lint."""

import tomllib

from tests.project.source import ROOT


def test_the_rules_are_the_strict_ones() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert settings["mypy"]["strict"]
    assert {"registry", "balancer", "handlers", "gateway", "examples", "tests"} <= set(
        settings["mypy"]["files"]
    )
    assert settings["pytest"]["ini_options"]["filterwarnings"] == ["error"]


def test_the_linters_come_before_the_tests() -> None:
    recipe = (ROOT / "Makefile").read_text().split("\ntest: $(VENV)")[1].split("\n\n")[0]
    assert 0 < recipe.find(" lint ") < recipe.find("-m pytest")
    (lint,) = [part for part in (ROOT / "Makefile").read_text().split("\n\n") if part.startswith("lint:")]
    for linter in ("ruff check .", "ruff format --check .", "mypy"):
        assert f"$(BIN)/{linter}\n" in f"{lint}\n"
