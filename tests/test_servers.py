import socket
from urllib.parse import urlsplit

import aiohttp

from tests.servers import ConsulAgent


async def test_the_consul_agent_has_a_leader(consul: ConsulAgent) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{consul.address}/v1/status/leader") as answer,
    ):
        assert (await answer.text()).strip().strip('"')


def test_the_redis_server_answers(redis_url: str) -> None:
    url = urlsplit(redis_url)
    assert url.hostname
    assert url.port
    with socket.create_connection((url.hostname, url.port), timeout=5) as s:
        s.sendall(b"PING\r\n")
        assert s.recv(64) == b"+PONG\r\n"
