"""Gateways that are replaced, killed, stopped or starved: rows G1 to G8 in their short form."""

import sys

import pytest

from tests.faults.rig import Stage
from tests.faults.rows.base import Row
from tests.faults.rows.gateways import ROWS


@pytest.mark.parametrize("row", [row for row in ROWS if row.quick], ids=lambda row: row.id)
async def test_row_holds(row: Row, stage: Stage) -> None:
    shown = await row.run(stage)
    sys.stdout.write(f"{shown.line()}\n")
    assert not shown.missed, shown.line()
