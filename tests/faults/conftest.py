"""What the quick rows share."""

from pathlib import Path

import pytest

from tests.faults.rig import Stage
from tests.servers import ConsulAgent


@pytest.fixture
def stage(consul: ConsulAgent, tmp_path: Path) -> Stage:
    return Stage(tmp_path, consul)
