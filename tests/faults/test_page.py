"""docs/reliability.md names every row there is, and only tests that exist."""

import re

from tests.faults.rows import ROWS
from tests.servers import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text()


def test_every_row_has_its_figure() -> None:
    for name in ROWS:
        assert re.search(rf"^\| {name} \|( [^|]{{3,}} \|){{4}}$", PAGE, re.MULTILINE), name


def test_the_quick_rows_are_named() -> None:
    listed = PAGE.partition("The quick rows")[2].partition("and a\n")[0]
    for row in ROWS.values():
        if row.quick and not re.fullmatch(r"F[1-8]", row.id):
            assert row.id in listed, row.id


def test_every_test_that_it_names_exists() -> None:
    for path, _, name in re.findall(r"`(tests/[\w/]+\.py)(::(\w+))?`", PAGE):
        file = ROOT / path
        assert file.exists(), path
        assert not name or f"def {name}(" in file.read_text(), name
