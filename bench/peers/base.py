"""What a peer is: a name, a version, and how it is started."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Launch


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gateway listens, where its instances are, and the folder it may write its files to."""

    port: int
    instances: tuple[int, ...]
    """Their ports, on 127.0.0.1."""
    folder: Path

    def write(self, name: str, text: str) -> str:
        """A file of its settings; returns the path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)

    @property
    def addresses(self) -> list[str]:
        return [f"127.0.0.1:{port}" for port in self.instances]


@dataclass(frozen=True, slots=True)
class Peer:
    """`launch` and `version` raise `NotInstalled`."""

    title: str
    """As it stands in the tables."""
    launch: Callable[[Place], Launch]
    version: Callable[[], str]
