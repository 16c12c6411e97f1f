"""One test file per source file, at the same relative path."""

from pathlib import Path

import pytest

from tests.project.source import PACKAGES, ROOT, Source, sources

WITHOUT_BEHAVIOUR = {"__init__.py", "__main__.py", "base.py"}
"""Maps of packages, doors, and protocols: the contract suites test what those promise."""


@pytest.mark.parametrize(
    "source",
    [s for s in sources(*PACKAGES, "examples") if s.path.name not in WITHOUT_BEHAVIOUR],
    ids=str,
)
def test_every_source_file_has_its_test_file(source: Source) -> None:
    folder, _, file = source.name.rpartition("/")
    assert Path(ROOT, "tests", folder, f"test_{file}").exists()


def test_the_consul_folder_holds_no_python() -> None:
    """A module in it would hide the installed `consul` package."""
    assert not list((ROOT / "consul").rglob("*.py"))
