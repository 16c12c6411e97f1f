"""What the gateway's tests tell a real Consul agent, over its own HTTP API."""

import aiohttp

from tests.servers import ConsulAgent


async def register_in(consul: ConsulAgent, service: str, port: int, *, healthy: bool = True) -> None:
    """An instance `<service>-<port>` on loopback, with a check that stays as it is."""
    status = "passing" if healthy else "critical"
    body = {
        "ID": f"{service}-{port}",
        "Name": service,
        "Address": "127.0.0.1",
        "Port": port,
        "Check": {"TTL": "1h", "Status": status},
    }
    await put(consul, "/v1/agent/service/register", body)


async def passes(consul: ConsulAgent, instance: str) -> None:
    await put(consul, f"/v1/agent/check/pass/service:{instance}")


async def deregister(consul: ConsulAgent, instance: str) -> None:
    await put(consul, f"/v1/agent/service/deregister/{instance}")


async def put(consul: ConsulAgent, path: str, body: object = None) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.put(f"http://{consul.address}{path}", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()


async def registered(consul: ConsulAgent, service: str) -> list[str]:
    """The ids of the service's registered instances."""
    url = f"http://{consul.address}/v1/catalog/service/{service}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return [entry["ServiceID"] for entry in await answer.json()]
