"""The units in deploy/systemd, read as systemd reads them, and by systemd itself where it is."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.settings import ListenSettings, Settings, load_settings
from tests.project.source import ROOT

FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(FOLDER.iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]


def keys(unit: Path) -> dict[str, str]:
    """`Section.Key`; a key that is repeated has its last value."""
    found, section = {}, ""
    for line in unit.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[f"{section}.{key}"] = value
    return found


def listening(unit: Path) -> ListenSettings:
    """The gateway's settings as the unit overrides them."""
    words = shlex.split(keys(unit)["Service.ExecStart"])
    given = [words[n + 1].partition("=") for n, word in enumerate(words) if word == "--set"]
    overrides = [(key, value) for key, _, value in given]
    secrets = {"JWT_SECRET": "x" * 32, "CONSUL_HTTP_ADDR": ""}
    text = "registry: {backend: consul}\n"
    settings = load_settings(text, environment=secrets, overrides=overrides)
    assert isinstance(settings, Settings), str(settings)
    return settings.listen


def test_there_are_a_socket_its_service_and_one_that_takes_over() -> None:
    assert [unit.name for unit in UNITS] == ["quaymaster.service", "quaymaster.socket", "quaymaster@.service"]


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_says_when_it_is_ready_reloads_and_is_given_time_to_stop(unit: Path) -> None:
    found, listen = keys(unit), listening(unit)
    assert found["Service.Type"] == "notify"
    assert found["Service.ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert found["Service.Restart"] == "on-failure", "one that was replaced ends with 0"
    assert int(found["Service.TimeoutStopSec"]) > listen.drain_s + listen.shutdown_timeout_s
    assert int(found["Service.LimitNOFILE"]) > 2 * listen.max_connections


def test_the_one_that_takes_over_does_so_where_the_next_one_looks() -> None:
    found = keys(FOLDER / "quaymaster@.service")
    handover = listening(FOLDER / "quaymaster@.service").handover
    assert handover is not None
    assert Path(handover).parent == Path("/run") / found["Service.RuntimeDirectory"]
    assert found["Service.RuntimeDirectoryPreserve"] == "yes"
    assert found["Service.User"], "two dynamic users are not the same one"


def test_the_socket_is_opened_before_its_service() -> None:
    service, socket = keys(FOLDER / "quaymaster.service"), keys(FOLDER / "quaymaster.socket")
    assert "quaymaster.socket" in service["Unit.After"].split()
    assert service["Unit.Requires"] == "quaymaster.socket"
    assert socket["Socket.ListenStream"] == str(ListenSettings().port)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_has_no_remark(unit: Path, tmp_path: Path) -> None:
    """But that the program is not installed here: for that, a stand-in is named."""
    for each in UNITS:
        text = each.read_text().replace("/opt/quaymaster/bin/quaymaster", "/bin/true")
        (tmp_path / each.name).write_text(text)
    name = unit.name.replace("@", "@b")
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / name],
        capture_output=True,
        text=True,
        check=False,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
    )
    ours = [line for line in (ran.stdout + ran.stderr).splitlines() if "quaymaster" in line]
    assert ours == []
