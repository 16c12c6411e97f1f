"""`python -m examples.<name>`: the gateway and its stand-ins on this machine, until Ctrl-C."""

import argparse
import os
import secrets
import sys

from rich.console import Console

from examples.chat.service import configure_logging
from examples.standins.plan import HIGHEST_PORT, Example, plan
from gateway.runtime.processes import Child, Processes
from gateway.runtime.serve import run, stop_signals


def main(example: Example) -> None:
    """The whole program: reads the command line, runs, and ends with one line when it can't begin."""
    parser = argparse.ArgumentParser(prog=f"python -m examples.{example.name}", description=example.title)
    parser.add_argument(
        "--port",
        type=int,
        default=os.environ.get("GATEWAY_PORT") or example.port,
        help=f"the gateway's, up to {HIGHEST_PORT}; the others follow it (default: %(default)s)",
    )
    options = parser.parse_args()
    configure_logging("warning")
    try:
        failed = run(run_example(example, options.port))
    except ValueError as error:
        parser.error(str(error))
    if failed is not None:
        sys.exit(failed)


async def run_example(example: Example, port: int) -> str | None:
    """Runs until Ctrl-C. Returns why it could not start, `None` after a proper end."""
    made = {name: os.environ.get(name) or secrets.token_urlsafe(48) for name in example.all_secrets}
    specs = plan(example, port, made)
    console = Console()
    # The stand-ins' own words, and the gateway's, are warnings: what is asked stands in the access log.
    environment = {"LOG_LEVEL": "warning", **os.environ}
    with stop_signals() as stop:
        async with Processes(environment) as processes:
            console.print(f"Starting {example.name} …")
            for spec in specs:
                child = await processes.start(spec)
                if spec is specs[0] and not await processes.healthy(child):
                    return "The gateway did not start; its words stand above. --port N uses other ports."
            for child in processes.children[1:]:
                if not await processes.healthy(child):
                    return f"{child.spec.name} did not start; its words stand above."
            # Not wrapped: the lines are there to be copied.
            console.print(_welcome(example, port, processes.children), soft_wrap=True, markup=False)
            await stop.wait()
            console.print("\nStopping …")
    return None


def _welcome(example: Example, port: int, children: list[Child]) -> str:
    url = f"http://127.0.0.1:{port}"
    lines = [
        "",
        f"{example.title} is at {url}",
        "",
        f"processes  {', '.join(f'{c.spec.name} ({c.process.pid})' for c in children)}",
        f"more       examples/{example.name}/README.md",
        "",
        "Try:",
        f"  {example.first_call.format(url=url)}",
        "",
        "Ctrl-C stops all of it.",
    ]
    return "\n".join(lines)
