"""Whether somebody takes connections there."""

from gateway.health_probes import Found, ProbeTarget
from gateway.probes.base import connected


async def ask(target: ProbeTarget) -> Found:
    async with connected(target):
        return Found.UP
