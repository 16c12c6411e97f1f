"""The table of all rows, by their ids."""

from tests.faults.rows.base import Row
from tests.faults.rows.discovery import ROWS as DISCOVERY
from tests.faults.rows.gateways import ROWS as GATEWAYS
from tests.faults.rows.handlers import ROWS as HANDLERS
from tests.faults.rows.instances import ROWS as INSTANCES
from tests.faults.rows.overload import ROWS as OVERLOAD
from tests.faults.rows.registry import ROWS as REGISTRY
from tests.faults.rows.store import ROWS as STORE

ROWS: dict[str, Row] = {
    row.id: row for row in (*INSTANCES, *HANDLERS, *REGISTRY, *DISCOVERY, *STORE, *GATEWAYS, *OVERLOAD)
}
