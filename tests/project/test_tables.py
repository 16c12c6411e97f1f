"""A plug-in is one file and one line in one table."""

import random
from pathlib import Path

import pytest

from balancer.strategies import STRATEGIES, load_strategy
from gateway.caches import CACHES, load_cache
from gateway.denylists import DENYLISTS, load_denylist
from gateway.limiters import LIMITERS, load_limiter
from gateway.probes import PROBES, load_probe
from handlers.stores import STORES, load_store
from registry.backends import BACKENDS, load_backend
from tests.project.source import ROOT

TABLES = {
    "balancer/strategies": STRATEGIES,
    "registry/backends": BACKENDS,
    "handlers/stores": STORES,
    "gateway/limiters": LIMITERS,
    "gateway/denylists": DENYLISTS,
    "gateway/caches": CACHES,
    "gateway/probes": PROBES,
}


@pytest.mark.parametrize("folder", TABLES)
def test_files_in_the_folder_are_the_names_in_the_table(folder: str) -> None:
    files = {path.stem for path in Path(ROOT, folder).glob("*.py")} - {"__init__", "base"}
    table = TABLES[folder]
    assert files == set(table)
    assert table == {name: f"{folder.replace('/', '.')}.{name}" for name in sorted(table)}


@pytest.mark.parametrize("folder", TABLES)
def test_each_table_has_a_contract_suite_that_reads_it(folder: str) -> None:
    """So that a newcomer is tested before its author writes a test."""
    suite = Path(ROOT, "tests", folder, "test_contract.py").read_text()
    assert folder.split("/")[1].upper() in suite


def test_every_entry_loads(rng: random.Random) -> None:
    for name in STRATEGIES:
        load_strategy(name, rng)
    assert all(callable(load_backend(name)) for name in BACKENDS)
    assert all(callable(load_store(name)) for name in STORES)
    assert all(callable(load_limiter(name)) for name in LIMITERS)
    assert all(callable(load_denylist(name)) for name in DENYLISTS)
    assert all(callable(load_cache(name)) for name in CACHES)
    assert all(callable(load_probe(name)) for name in PROBES)
