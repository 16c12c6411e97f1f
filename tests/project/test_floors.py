"""Decide, choose one, run: DESIGN 1. If you see `async`, you are not on the first floor."""

import ast

import pytest

from tests.project.source import CHOICES, PACKAGES, Source, sources

HOUSE = sources(*PACKAGES)
IMPURE = {
    "asyncio",
    "time",
    "socket",
    "logging",
    "structlog",
    "aiohttp",
    "threading",
    "subprocess",
    "datetime",
    "os",
}


@pytest.mark.parametrize("source", [s for s in HOUSE if s.floor == "decide"], ids=str)
def test_decisions_are_pure(source: Source) -> None:
    """No async, clock, logger or socket: time and randomness come in as arguments."""
    found = [
        node.lineno
        for node in ast.walk(source.tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
    ]
    assert not found, f"{source}: async in lines {found}"
    assert not {name.split(".")[0] for name in source.imports()} & IMPURE


@pytest.mark.parametrize("source", [s for s in HOUSE if s.floor != "door"], ids=str)
def test_floors_import_downwards(source: Source) -> None:
    """run -> choose one -> decide. A decision may read a table (the folder itself), not its entries."""
    rank = {"decide": 0, "choose": 1, "run": 2}
    modules = {s.module: s for s in HOUSE}
    for name in source.imports():
        target = modules.get(name)
        if target is None or target.package != source.package or target.floor == "door":
            continue
        is_table = target.name.endswith("/__init__.py") and target.name.split("/")[1] in CHOICES
        allowed = rank[target.floor] <= rank[source.floor] or is_table
        assert allowed, f"{source} ({source.floor}) imports {target} ({target.floor})"
