"""A handler dies with 10,000 clients: each comes back at a time drawn from the advice that it got before, and
asks for any handler but that one. All the while newcomers ask who know nothing of it.
"""

import random
from dataclasses import dataclass

from handlers.advice import advise
from handlers.model import HandlerId, PoolSettings, Uid
from tests.handlers.fleet.quay import UP_S, Client, QuayFleet


@dataclass(frozen=True, slots=True)
class Death:
    handlers: int = 20
    clients: int = 10_000
    """Of each handler."""
    newcomers_per_s: float = 20.0
    within_s: float | None = None
    """All come back within so long, whatever they were advised; `None`: as advised."""


@dataclass(frozen=True, slots=True)
class Reseated:
    """What became of the clients of the dead handler, and of the newcomers."""

    fleet: QuayFleet
    window_s: float
    """Within which they were advised to come back."""
    last_s: float
    """When the last of them had a seat."""
    dead: HandlerId


def run(scene: Death, pool: PoolSettings, seed: int) -> Reseated:
    rng = random.Random(seed)
    fleet = QuayFleet(pool, [scene.clients] * scene.handlers, rng, up_for_s=[UP_S] * scene.handlers)
    dead = fleet.processes[0]
    dead.alive = False
    window_s = advise(scene.clients, (scene.handlers - 1) * pool.joins_per_s).first_s
    clients = [Client(Uid(f"old-{number}"), frozenset({dead.id})) for number in range(scene.clients)]
    for client in clients:
        fleet.come(client, rng.uniform(0, window_s if scene.within_s is None else scene.within_s))
    for number in range(round(2 * window_s * scene.newcomers_per_s)):
        fleet.come(Client(Uid(f"new-{number}")), rng.uniform(0, 2 * window_s))
    fleet.time.run(120.0)
    return Reseated(fleet, window_s, max(fleet.seated_at[client.uid] for client in clients), dead.id)
