"""Settings read again: from where they were read first, and what tells that the file is another one."""

import os
from pathlib import Path

from gateway.runtime.settings_source import SettingsSource, fingerprint
from gateway.settings import Settings
from tests.gateway.runtime.gateways import settings_text


def read(source: SettingsSource) -> Settings:
    settings = source.read()
    assert isinstance(settings, Settings), settings
    return settings


def test_overrides_and_environment_hold_at_every_reading(tmp_path: Path) -> None:
    file = tmp_path / "quaymaster.yaml"
    environment = {"QUAYMASTER__LISTEN__DRAIN_S": "3", "QUAYMASTER__LISTEN__KEEPALIVE_S": "3"}
    source = SettingsSource(file, [("listen.drain_s", "4")], environment)
    for port in (8001, 8002):
        file.write_text(settings_text(listen={"port": port}))
        listen = read(source).listen
        assert (listen.port, listen.drain_s, listen.keepalive_s) == (port, 4, 3)


def test_a_text_stands_for_a_file_and_never_changes() -> None:
    source = SettingsSource(None, environment={}, text=settings_text(listen={"port": 8003}))
    assert read(source).listen.port == 8003
    assert source.fingerprint is source.read_as is None


def test_everything_that_is_wrong_is_said_with_the_files_name(tmp_path: Path) -> None:
    file = tmp_path / "quaymaster.yaml"
    file.write_text("listen: {prot: 1}\nzone: 5\n")
    said = SettingsSource(file, environment={}).read()
    assert isinstance(said, str)
    assert said.splitlines()[0].startswith(f"{file}: ")
    assert "listen.prot" in said


def test_a_file_that_can_not_be_read_is_said(tmp_path: Path) -> None:
    file = tmp_path / "none.yaml"
    assert SettingsSource(file).read() == f"{file}: can't be read: No such file or directory"
    file.write_bytes(b"\xff\xfe")
    assert f"{SettingsSource(file).read()}".startswith(f"{file}: can't be read: ")


def test_a_file_looks_different_when_it_was_written_replaced_or_swapped_above_it(tmp_path: Path) -> None:
    first, second = tmp_path / "..1", tmp_path / "..2"
    for folder in (first, second):
        folder.mkdir()
        (folder / "quaymaster.yaml").write_text("{}")
    current, file = tmp_path / "..data", tmp_path / "quaymaster.yaml"
    current.symlink_to(first.name)
    file.symlink_to("..data/quaymaster.yaml")
    seen = {fingerprint(file)}

    swapped = tmp_path / "..tmp"
    swapped.symlink_to(second.name)
    swapped.rename(current)
    seen.add(fingerprint(file))
    assert len(seen) == 2, "another file stands behind the same links"

    (second / "quaymaster.yaml").write_text("{}  # longer")
    seen.add(fingerprint(file))
    assert len(seen) == 3

    os.utime(file, ns=(1, 1))
    seen.add(fingerprint(file))
    assert len(seen) == 4

    assert fingerprint(file) in seen, "the same as before, nobody did anything"
    file.unlink()
    assert fingerprint(file) is None
