"""Where a process has its settings from: a file or a text, the environment, `--set`; read again at will."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.settings import Problems, Settings, load_settings

Print = tuple[str, int, int, int, int]
"""What tells a file from the one that stood at the same path before."""


@dataclass(slots=True)
class SettingsSource:
    """`overrides` hold over the environment, and both over the file, whenever it is read."""

    file: Path | None
    overrides: Sequence[tuple[str, str]] = ()
    environment: Mapping[str, str] | None = None
    """`None`: this process's own."""
    text: str | None = None
    """In place of a file."""
    name: str = "settings"
    read_as: Print | None = None
    """The file's fingerprint when it was read last."""

    @property
    def fingerprint(self) -> Print | None:
        """Of the file as it is now. Waits for the disk."""
        return None if self.file is None else fingerprint(self.file)

    def read(self) -> Settings | str:
        """The settings, or everything that is wrong with them. Waits for the disk."""
        text, name = self.text, str(self.file or self.name)
        if self.file is not None:
            # Before the text: what is written meanwhile is then seen as a change.
            self.read_as = self.fingerprint
            try:
                text = self.file.read_text()
            except (OSError, UnicodeDecodeError) as error:
                return f"{name}: can't be read: {getattr(error, 'strerror', None) or error}"
        environment = os.environ if self.environment is None else self.environment
        loaded = load_settings(text, environment=environment, overrides=self.overrides)
        if isinstance(loaded, Problems):
            count = len(loaded.items)
            return f"{name}: {count} problem{'s' if count > 1 else ''}\n{loaded}"
        return loaded


def fingerprint(path: Path) -> Print | None:
    """Differs when another file, or another content, stands there; `None` for none that can be seen.

    The path is resolved, so that the swap of a symbolic link above the file is a change: that is how
    Kubernetes replaces what a ConfigMap or a Secret holds.
    """
    try:
        real = os.path.realpath(path, strict=True)
        status = os.stat(real)
    except OSError:
        return None
    return (real, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
