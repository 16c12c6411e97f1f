"""The source tree as data: which file stands on which floor, and what it imports."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("registry", "balancer", "handlers", "gateway")
CHOICES = ("strategies", "backends", "stores", "limiters", "denylists", "caches", "sinks", "probes", "agent")
"""Folders of the middle floor. The agent stands there too: a backend starts it."""

COMMAND_LINE = {"gateway/cli.py", "gateway/__main__.py"}
"""The door of the house: it starts the loop, so it belongs to no floor."""


@dataclass(frozen=True)
class Source:
    path: Path

    @property
    def name(self) -> str:
        """Relative to the project, as `registry/merge.py`."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def package(self) -> str:
        return self.name.split("/")[0]

    @property
    def module(self) -> str:
        return self.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def floor(self) -> str:
        """`decide`, `choose`, `run` or `door`."""
        if self.name in COMMAND_LINE:
            return "door"
        folders = self.name.split("/")[1:-1]
        if not folders:
            return "decide"
        return "choose" if folders[0] in CHOICES else "run"

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text())

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        return tuple(ast.walk(self.tree))

    @cached_property
    def imports(self) -> tuple[str, ...]:
        """Full names of imported modules (and of names imported from them: they may be modules)."""
        return tuple(self._imports())

    def _imports(self) -> Iterator[str]:
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}: relative import"
                assert node.module is not None
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    def strings(self) -> Iterator[str]:
        """String constants that are not docstrings."""
        docs = {
            id(statement.value)
            for statement in self.nodes
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        }
        for node in self.nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                yield node.value

    def __str__(self) -> str:
        return self.name


def sources(*packages: str) -> list[Source]:
    return [source(path) for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


@cache
def source(path: Path) -> Source:
    """Read once for all tests of a worker."""
    return Source(path)
