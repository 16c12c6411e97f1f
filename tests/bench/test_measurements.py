"""The tables of measurements and of peers name what is there."""

from pathlib import Path

import pytest

from bench import MEASUREMENTS, load_measurement, work
from bench import peers as peers_folder
from bench.peers import PEERS, load_peer
from bench.peers.base import Place
from bench.peers.envoy import settings as envoy_settings
from bench.report import Report, Row
from bench.tables import COLUMNS


def files(package: str) -> set[str]:
    return {path.stem for path in Path(package).parent.glob("*.py")} - {"__init__", "base"}


def test_every_measurement_has_its_line() -> None:
    assert work.__file__ is not None
    assert {f"bench.work.{name}" for name in files(work.__file__)} == set(MEASUREMENTS.values())


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_every_measurement_loads(name: str) -> None:
    assert callable(load_measurement(name))


def test_every_peer_has_its_line() -> None:
    assert peers_folder.__file__ is not None
    not_a_gateway = {"consul"}
    named = {module.rpartition(".")[2] for module in PEERS.values()}
    assert named == files(peers_folder.__file__) - not_a_gateway
    assert len({load_peer(name).title for name in PEERS}) == len(PEERS)


def test_envoy_is_told_of_every_instance(tmp_path: Path) -> None:
    text = str(envoy_settings(Place(8000, (9001, 9002), tmp_path)))
    assert all(str(port) in text for port in (8000, 9001, 9002))


def test_a_figure_without_a_column_is_an_error_and_not_left_out() -> None:
    from bench.tables import cells

    with pytest.raises(ValueError, match="no_such_figure"):
        cells(Report("get", "t", (Row("case", {next(iter(COLUMNS)): 1.0, "no_such_figure": 1.0}),)))
