"""An example in this process: its stand-ins on free ports, a real gateway with its settings file in front."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from examples.chat.passwords import ScryptSettings
from examples.standins.plan import Example
from examples.standins.service import Build, Surroundings
from gateway.runtime.app import Gateway
from gateway.settings import Settings, load_settings
from tests.gateway.runtime.gateways import RawAnswer, ready, request, wire
from tests.servers import free_ports

SECRET = "a secret of the examples' tests, long enough"
CHEAP = ScryptSettings(n=16, r=1, p=1)


@dataclass(slots=True)
class Running:
    """A running example, and what its users have been given."""

    gateway: Gateway
    urls: dict[str, str]
    """Where its stand-ins are, by the variables that name their addresses."""
    tokens: dict[str, str] = field(default_factory=dict)
    """Access tokens by the name of their user."""

    @property
    def port(self) -> int:
        return self.gateway.port

    async def ask(
        self,
        method: str,
        target: str,
        *headers: str,
        who: str | None = None,
        body: object = None,
        host: str = "localhost",
    ) -> RawAnswer:
        """One request, as a user if `who` says one, with a JSON body if there is one."""
        lines = [*headers, *([f"Authorization: Bearer {self.tokens[who]}"] if who else [])]
        content = b"" if body is None else json.dumps(body).encode()
        if content:
            lines.append("Content-Type: application/json")
        async with wire(self.port) as client:
            await client.say(request(method, target, *lines, body=content, host=host))
            return await client.answer(to_head=method == "HEAD")


@asynccontextmanager
async def standin(app: web.Application) -> AsyncIterator[str]:
    """A stand-in on a free port; yields its URL."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def settings_of(
    example: Example, port: int, environment: Mapping[str, str], overrides: Mapping[str, str]
) -> Settings:
    """The example's own file; only the registry is left out, since every address is fixed."""
    settings = load_settings(
        example.settings.read_text(),
        environment=environment,
        overrides=[
            ("listen.port", str(port)),
            ("listen.drain_s", "0"),
            ("listen.shutdown_timeout_s", "2"),
            ("registry.backend", "static"),
            ("registry.register_as", "null"),
            ("logging.level", "error"),
            *overrides.items(),
        ],
    )
    assert isinstance(settings, Settings), str(settings)
    return settings


@asynccontextmanager
async def running(
    example: Example,
    services: Mapping[str, Build | str],
    environment: Mapping[str, str],
    overrides: Mapping[str, str] | None = None,
) -> AsyncIterator[Running]:
    """The example with these stand-ins by the variables that name their addresses; text is an address."""
    (port,) = free_ports(1)
    given = Surroundings(secret=SECRET, gateway=f"http://127.0.0.1:{port}", passwords=CHEAP)
    async with AsyncExitStack() as stack:
        urls = {
            name: build if isinstance(build, str) else await stack.enter_async_context(standin(build(given)))
            for name, build in services.items()
        }
        settings = settings_of(example, port, {**environment, **urls}, overrides or {})
        gateway = await stack.enter_async_context(Gateway(settings))
        await ready(gateway.port)
        yield Running(gateway, urls)


async def register(made: Running, path: str, *names: str, **more: Any) -> dict[str, str]:
    """Accounts for these, who are logged in then; their ids by name."""
    ids = {}
    for name in names:
        body = {"email": f"{name}@example.com", "password": "correct horse", **more}
        answer = await made.ask("POST", path, body=body)
        assert answer.status == 201, str(answer)
        made.tokens[name] = answer.json()["access_token"]
        ids[name] = answer.json()["user"]["id"]
    return ids
