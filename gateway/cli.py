"""`quaymaster`: the command line (DESIGN 6).

Rules of this file: commands read files and the environment, print, and exit; what they do stands in
runtime/. Imports that cost time stand inside the command that needs them.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from gateway.runtime.settings_source import SettingsSource
    from gateway.settings import Settings

app = typer.Typer(
    name="quaymaster",
    help="A service-discovery load balancer that hands out WebSocket handlers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Config = Annotated[Path | None, typer.Option(help="A YAML file; without one, the chat system's defaults.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Overrides one key, like listen.port=9000."),
]


HIGHEST_DEMO_PORT = 65_485
"""The highest of the demo's other ports, the embedded agent's, is 50 above."""


@app.command()
def serve(config: Config = None, overrides: Overrides = None) -> None:
    """Run the gateway until SIGTERM or Ctrl-C."""
    _serve(_source(config, overrides))


@app.command()
def check(file: Annotated[Path, typer.Argument(help="The YAML file to check.")]) -> None:
    """Validate a settings file and list every problem. Exit status 0 or 1."""
    from gateway.runtime.rules import StartFailed, build_verifier
    from gateway.runtime.tracing import require_opentelemetry

    settings = _read(_source(file))
    try:
        build_verifier(settings)
        if settings.tracing.enabled:
            require_opentelemetry()
    except StartFailed as failed:
        _fail(f"{file}: 1 problem\n{failed}")
    pools = settings.handlers.by_pool() if settings.handlers else {}
    counts = {"service": len(settings.services), "route": len(settings.routes), "handler pool": len(pools)}
    parts = [f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items()]
    typer.echo(f"{file}: good ({', '.join(parts)}, store {settings.store.backend})")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the settings, for editors."""
    import orjson

    from gateway.settings import json_schema

    typer.echo(orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2).decode())


@app.command()
def proxy(
    listen: Annotated[str, typer.Option("--from", metavar="[HOST]:PORT", help="Where to listen.")],
    to: Annotated[list[str], typer.Option("--to", metavar="[HOST]:PORT", help="An instance; repeat it.")],
    strategy: Annotated[str, typer.Option(help="How to choose among them.")] = "least_connections",
) -> None:
    """Run a load balancer in front of fixed addresses, without a file."""
    from gateway.proxy_settings import proxy_settings
    from gateway.runtime.settings_source import SettingsSource

    text = proxy_settings(listen, to, strategy)
    if text is None:
        _fail("--from and --to must be [HOST]:PORT, such as :8080 or 10.0.0.5:9001")
    _serve(SettingsSource(None, text=text, name="proxy"))


@app.command(context_settings={"allow_interspersed_args": False})
def register(
    command: Annotated[list[str], typer.Argument(metavar="-- CMD ...", help="The program to run.")],
    name: Annotated[str, typer.Option(help="The service it is an instance of.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it listens.")],
    id: Annotated[str, typer.Option(help="Its instance id; made of name, host and port if not given.")] = "",
    address: Annotated[str, typer.Option(help="Its address; the agent's own if not given.")] = "",
    ttl: Annotated[
        float, typer.Option(min=1, help="Seconds without a heartbeat until it is critical.")
    ] = 10.0,
    check_http: Annotated[str, typer.Option(help="A URL the agent asks, instead of heartbeats.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="A tag; repeat it.")] = None,
    meta: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Meta data; repeat it.")] = None,
    weight: Annotated[int, typer.Option(min=1, max=65535)] = 1,
    consul: Annotated[str, typer.Option(envvar="CONSUL_HTTP_ADDR", help="The agent.")] = "127.0.0.1:8500",
    propagation: Annotated[float, typer.Option(min=0, help="Seconds between leaving and stopping.")] = 1.0,
) -> None:
    """Run any program as a registered service: registers, heartbeats, forwards signals, deregisters.

    The agent's token is read from CONSUL_HTTP_TOKEN.
    """
    from gateway.runtime.logs import configure_logging
    from gateway.runtime.register_command import RegisterFacts, run_program
    from gateway.runtime.serve import run

    pairs = [text.partition("=") for text in meta or ()]
    if bad := [key for key, equals, _ in pairs if not equals or not key]:
        _fail(f"--meta {bad[0]}: write KEY=VALUE")
    configure_logging("info", "console")
    facts = RegisterFacts(
        command=tuple(command),
        name=name,
        port=port,
        id=id,
        address=address,
        ttl_s=ttl,
        check_http=check_http or None,
        tags=tuple(tag or ()),
        meta={key: value for key, _, value in pairs},
        weight=weight,
        consul=consul,
        token=os.environ.get("CONSUL_HTTP_TOKEN", ""),
        propagation_s=propagation,
    )
    outcome = run(run_program(facts))
    if isinstance(outcome, str):
        _fail(outcome)
    raise typer.Exit(outcome)


@app.command()
def demo(
    port: Annotated[
        int, typer.Option(min=1, max=HIGHEST_DEMO_PORT, help="The gateway's; the others follow it.")
    ] = 8000,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keeps users and registrations; else a temporary folder.")
    ] = None,
    consul: Annotated[str, typer.Option(help="A real Consul agent, instead of the embedded one.")] = "",
) -> None:
    """Run the whole chat system: gateway, registry, services, three WebSocket handlers and a page."""
    from gateway.runtime.demo import run_demo
    from gateway.runtime.logs import configure_logging
    from gateway.runtime.serve import run

    configure_logging("warning", "console")
    problem = run(run_demo(port, data_dir, consul or None))
    if problem is not None:
        _fail(problem)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script's entry."""
    app(args=list(arguments) if arguments is not None else None)


def _serve(source: "SettingsSource") -> None:
    from gateway.runtime.logs import configure_logging
    from gateway.runtime.rules import StartFailed
    from gateway.runtime.serve import run, serve

    settings = _read(source)
    configure_logging(settings.logging.level, settings.logging.format)
    try:
        run(serve(settings, source))
    except StartFailed as failed:
        _fail(str(failed))


def _source(file: Path | None, overrides: Sequence[str] | None = None) -> "SettingsSource":
    """A file (or none), the environment and `--set`; exits with an override that is none."""
    from gateway.runtime.settings_source import SettingsSource

    pairs = []
    for override in overrides or ():
        key, equals, value = override.partition("=")
        if not equals or not key:
            _fail(f"--set {override}: write KEY=VALUE, such as listen.port=9000")
        pairs.append((key, value))
    return SettingsSource(file, pairs)


def _read(source: "SettingsSource") -> "Settings":
    """The settings; exits with every problem."""
    read = source.read()
    if isinstance(read, str):
        _fail(read)
    return read


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    sys.exit(1)
