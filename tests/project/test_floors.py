"""Decide, choose one, run: DESIGN 1. If you see `async`, you are not on the first floor."""

import ast

from tests.project.source import CHOICES, PACKAGES, Source, sources

HOUSE = sources(*PACKAGES)
MODULES = {source.module: source for source in HOUSE}
RANK = {"decide": 0, "choose": 1, "run": 2}
ASYNC = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
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


def test_decisions_are_pure() -> None:
    """No async, clock, logger or socket: time and randomness come in as arguments."""
    for source in HOUSE:
        if source.floor != "decide":
            continue
        found = [node.lineno for node in source.nodes if isinstance(node, ASYNC)]
        assert not found, f"{source}: async in lines {found}"
        impure = {name.split(".")[0] for name in source.imports} & IMPURE
        assert not impure, f"{source}: {impure}"


def test_floors_import_downwards() -> None:
    """run -> choose one -> decide. A decision may read a table (the folder itself), not its entries."""
    strays = [
        f"{source} ({source.floor}) imports {target} ({target.floor})"
        for source in HOUSE
        for target in map(MODULES.get, source.imports)
        if target is not None and not may_import(source, target)
    ]
    assert strays == []


def may_import(source: Source, target: Source) -> bool:
    if "door" in (source.floor, target.floor) or target.package != source.package:
        return True
    is_table = target.name.endswith("/__init__.py") and target.name.split("/")[1] in CHOICES
    return RANK[target.floor] <= RANK[source.floor] or is_table
