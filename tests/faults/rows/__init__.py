"""The table of all rows, by their ids."""

from tests.faults.rows.base import Row
from tests.faults.rows.instances import ROWS as INSTANCES

ROWS: dict[str, Row] = {row.id: row for row in INSTANCES}
