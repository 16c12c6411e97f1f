"""A connection is enough."""

from gateway.health_probes import Found
from gateway.probes.tcp import ask
from tests.balancer.origins import accepts_and_closes, origin
from tests.gateway.probes.behaviours import target


async def test_one_that_takes_the_connection_and_closes_it_is_up() -> None:
    async with origin(accepts_and_closes) as there:
        assert await ask(target("tcp", there.instance.port)) is Found.UP
