"""A GET and the status of its answer."""

import pytest

from gateway.health_probes import Found
from tests.balancer.origins import origin
from tests.gateway.probes.behaviours import ask, says, target


@pytest.mark.parametrize(
    ("status", "found"),
    [(200, Found.UP), (302, Found.UP), (404, Found.STATUS), (500, Found.STATUS), (101, Found.STATUS)],
)
async def test_the_status_says_it(status: int, found: Found) -> None:
    async with origin(says(f"HTTP/1.1 {status} Well\r\n\r\n".encode())) as there:
        assert await ask(target("http", there.instance.port)) is found


async def test_the_path_and_the_query_are_asked_for_and_who_asks_is_said() -> None:
    async with origin(says(b"HTTP/1.0 200\r\n\r\n")) as there:
        port = there.instance.port
        asked = target("http", port, "/up?deep=1&name=a b", who="ada:p%40ss@")
        assert await ask(asked) is Found.UP
        lines = there.heads[0].decode().split("\r\n")
        assert lines[0] == "GET /up?deep=1&name=a%20b HTTP/1.1"
        assert f"Host: 127.0.0.1:{port}" in lines
        assert "Authorization: Basic YWRhOnBAc3M=" in lines


async def test_one_without_tls_is_no_https() -> None:
    async with origin(says(b"HTTP/1.0 200 OK\r\n\r\n")) as there:
        assert await ask(target("https", there.instance.port)) is Found.TLS
