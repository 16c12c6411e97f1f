"""An example as a plan: which processes, with which arguments, secrets and ports.

Rules of this file: it only describes. launch.py starts the processes and stops them again.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.chat.system import ProcessSpec

FIRST_SERVICE = 11
"""The first stand-in listens that much above the gateway."""
REGISTRY = 50
"""The embedded registry listens that much above the gateway."""
HIGHEST_PORT = 65535 - REGISTRY


@dataclass(frozen=True, slots=True)
class StandIn:
    """One stand-in: a module that is run as a program."""

    service: str
    """Its name in the registry."""
    module: str
    secrets: tuple[str, ...] = ()
    """The environment variables that it needs."""


@dataclass(frozen=True, slots=True)
class Example:
    """A gateway with its settings, and the services behind it."""

    name: str
    title: str
    port: int
    """The gateway's, unless somebody says another."""
    services: Sequence[StandIn]
    secrets: tuple[str, ...]
    """The environment variables that the gateway needs."""
    first_call: str
    """A curl line to begin with; {url} is the gateway's."""

    @property
    def settings(self) -> Path:
        return Path(__file__).parents[1] / self.name / "quaymaster.yaml"

    @property
    def all_secrets(self) -> list[str]:
        """What has to be made up where nobody has set it."""
        return sorted({*self.secrets, *(name for service in self.services for name in service.secrets)})


def plan(
    example: Example, port: int, secrets: Mapping[str, str], *, python: str = sys.executable
) -> list[ProcessSpec]:
    """The gateway first, then the stand-ins, on ports behind the gateway's.

    Each gets those of `secrets` that it needs. A stand-in counts as started once the gateway hands it out.
    Raises `ValueError` when those ports don't exist, `KeyError` for a missing secret.
    """
    if not 0 < port <= HIGHEST_PORT:
        raise ValueError(f"the gateway's port must be from 1 to {HIGHEST_PORT}, it is {port}")
    url, registry = f"http://127.0.0.1:{port}", f"127.0.0.1:{port + REGISTRY}"
    settings = ("--config", str(example.settings))
    places = (
        *("--set", f"listen.port={port}", "--set", f"registry.address={registry}"),
        *("--set", "listen.drain_s=0", "--set", "listen.shutdown_timeout_s=2"),
    )
    gateway = ProcessSpec(
        "gateway",
        (python, "-m", "gateway", "serve", *settings, *places),
        {name: secrets[name] for name in example.secrets},
        f"{url}/health/live",
    )
    return [
        gateway,
        *(
            ProcessSpec(
                f"{service.service}-1",
                (
                    *(python, "-m", service.module, "--port", str(port + FIRST_SERVICE + n)),
                    *("--consul", registry, "--id", f"{service.service}-1", "--gateway", url),
                ),
                {name: secrets[name] for name in service.secrets},
                f"{url}/get_service_instance?service_name={service.service}",
            )
            for n, service in enumerate(example.services)
        ),
    ]
