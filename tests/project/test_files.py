"""One test file per source file, at the same relative path."""

from pathlib import Path

from tests.project.source import PACKAGES, ROOT, Source, sources

WITHOUT_BEHAVIOUR = {"__init__.py", "__main__.py", "base.py"}
"""Maps of packages, doors, and protocols: the contract suites test what those promise."""


def its_test_file(source: Source) -> Path:
    folder, _, file = source.name.rpartition("/")
    return Path(ROOT, "tests", folder, f"test_{file}")


def test_every_source_file_has_its_test_file() -> None:
    behaving = [s for s in sources(*PACKAGES, "examples") if s.path.name not in WITHOUT_BEHAVIOUR]
    assert [source.name for source in behaving if not its_test_file(source).exists()] == []


def test_the_consul_folder_holds_no_python() -> None:
    """A module in it would hide the installed `consul` package."""
    assert not list((ROOT / "consul").rglob("*.py"))
