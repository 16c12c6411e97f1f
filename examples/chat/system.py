"""The chat system as a plan: which processes, with which arguments, secrets and ports.

Rules of this file: it only describes. `quaymaster demo` starts the processes and stops them again.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CHECKED_AT = "/health"


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process to start."""

    name: str
    """Its instance id in the registry too."""
    argv: tuple[str, ...]
    env: Mapping[str, str]
    """Secrets it needs, to lay over the environment it inherits."""
    health_url: str
    """Answers 200 once it serves."""


def plan(
    gateway_port: int,
    consul_address: str,
    data_dir: Path,
    secrets: Mapping[str, str],
    *,
    python: str = sys.executable,
) -> list[ProcessSpec]:
    """Two auth, two matching, three WebSocket handlers and a page, on ports behind the gateway's.

    With the gateway on 8000 the handlers listen on 8001 to 8003, auth on 8011 and 8012, matching on
    8021 and 8022, the page on 8031. `secrets` holds `JWT_SECRET` and `INTERNAL_KEY`; each process
    gets only what it needs. Raises `ValueError` when those ports don't exist, `KeyError` for a
    missing secret.
    """
    if not 0 < gateway_port <= 65535 - 31:
        raise ValueError(f"the gateway's port must be from 1 to {65535 - 31}, it is {gateway_port}")
    database = ("--database", str(data_dir / "chat.db"))
    # Ctrl-C stops all handlers at once, so that no client has anywhere to go.
    handler = ("--gateway", f"http://127.0.0.1:{gateway_port}", "--drain", "2")
    jwt = {"JWT_SECRET": secrets["JWT_SECRET"]}
    key = {"INTERNAL_KEY": secrets["INTERNAL_KEY"]}

    def spec(
        module: str, name: str, offset: int, more: tuple[str, ...], env: Mapping[str, str]
    ) -> ProcessSpec:
        port = gateway_port + offset
        place = ("--port", str(port), "--consul", consul_address, "--id", name)
        return ProcessSpec(
            name,
            (python, "-m", f"examples.chat.{module}", *place, *more),
            env,
            f"http://127.0.0.1:{port}{CHECKED_AT}",
        )

    return [
        *(spec("auth", f"auth-{n}", 10 + n, database, jwt) for n in (1, 2)),
        *(spec("matching", f"matching-{n}", 20 + n, database, jwt | key) for n in (1, 2)),
        *(spec("handler", f"WSH{n}", n, handler, key) for n in (1, 2, 3)),
        spec("web", "chat-page-1", 31, (), {}),
    ]
