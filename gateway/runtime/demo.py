"""`quaymaster demo`: the gateway here, the chat system's services in processes of their own."""

import os
import secrets
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from examples.chat import system
from gateway.runtime.app import Gateway
from gateway.runtime.logs import change_level
from gateway.runtime.processes import Child, Processes
from gateway.runtime.rules import StartFailed
from gateway.runtime.serve import stop_signals
from gateway.settings import Problems, Settings, load_settings

SETTINGS = Path(system.__file__).with_name("quaymaster.yaml")
AGENT_PORT_OFFSET = 50
"""The embedded agent listens that much above the gateway."""


async def run_demo(port: int, data_dir: Path | None, consul: str | None) -> str | None:
    """Runs until Ctrl-C. Returns why it could not start, `None` after a proper end."""
    made = {
        name: os.environ.get(name) or secrets.token_urlsafe(48) for name in ("JWT_SECRET", "INTERNAL_KEY")
    }
    async with AsyncExitStack() as stack:
        if data_dir is None:
            data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quaymaster-demo-")))
        data_dir.mkdir(parents=True, exist_ok=True)
        agent = consul or f"127.0.0.1:{port + AGENT_PORT_OFFSET}"
        settings = _settings(port, data_dir, agent, made, real_consul=consul is not None)
        if isinstance(settings, Problems):
            return str(settings)
        stop = stack.enter_context(stop_signals())
        try:
            await stack.enter_async_context(Gateway(settings))
        except StartFailed as failed:
            return f"{failed}\nquaymaster demo --port N uses other ports."
        processes = await stack.enter_async_context(Processes({"LOG_LEVEL": "warning", **os.environ}))
        console = Console()
        console.print("Starting the chat system …")
        children = [await processes.start(spec) for spec in system.plan(port, agent, data_dir, made)]
        for child in children:
            if not await processes.healthy(child):
                return f"{child.spec.name} did not start; its words stand above."
        # Not wrapped: the lines are there to be copied.
        console.print(_welcome(port, agent, children), soft_wrap=True)
        await stop.wait()
        console.print("\nStopping …")
        # Every instance goes at once now, which would be worth a warning at any other time.
        change_level("error")
    return None


def _settings(
    port: int, data_dir: Path, agent: str, made: dict[str, str], *, real_consul: bool
) -> Settings | Problems:
    overrides = [
        ("listen.port", str(port)),
        ("listen.drain_s", "0"),
        ("listen.shutdown_timeout_s", "2"),
        ("registry.backend", "consul" if real_consul else "embedded"),
        ("registry.address", agent),
        ("logging.level", "warning"),
        ("logging.format", "console"),
    ]
    if not real_consul:
        overrides.append(("registry.data_dir", str(data_dir / "registry")))
    return load_settings(SETTINGS.read_text(), environment={**os.environ, **made}, overrides=overrides)


def _welcome(port: int, agent: str, children: list[Child]) -> str:
    here = f"http://127.0.0.1:{port}"
    handler = next(child for child in children if child.spec.name == "WSH1")
    user = (
        '{"email":"ada@example.com","username":"ada","password":"correct horse","sex":"female",'
        '"age":30,"preferred_age":"20-40","preferred_sex":"male"}'
    )
    json_type = "-H 'Content-Type: application/json'"
    lines = [
        "",
        f"[bold]The chat is at {here}/[/bold]   open it in two tabs and let them talk",
        "",
        f"health     {here}/health/detailed",
        f"metrics    {here}/metrics",
        f"the API    {here}/docs",
        f"registry   http://{agent}/ (Consul's API)",
        f"processes  {', '.join(f'{c.spec.name} ({c.process.pid})' for c in children)}",
        "",
        "Try:",
        escape(f"  curl -s {here}/register {json_type} -d '{user}'"),
        escape(
            f"  TOKEN=$(curl -s {here}/login {json_type} -d '"
            + '{"email":"ada@example.com","password":"correct horse"}'
            + '\' | sed \'s/.*"access_token": *"\\([^"]*\\)".*/\\1/\')'
        ),
        escape(f'  curl -s {here}/get_websocket_handler -H "token: $TOKEN"'),
        f"  curl -s '{here}/get_service_instance?service_name=auth'",
        f"  kill -9 {handler.process.pid}   and see WSH1's clients move to another handler",
        "",
        "Ctrl-C stops all of it.",
    ]
    return "\n".join(lines)
