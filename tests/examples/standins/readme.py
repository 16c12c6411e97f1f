"""The commands of an example's README, run as a reader would: in one shell, in order.

In the README's `sh` blocks a comment that begins with `# ` right below a command is what it says; `…` in it
stands for anything. A block that starts the example itself is left out.
"""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

from examples.standins.plan import Example

SEPARATOR = "\x1e"
WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Command:
    text: str
    """One command, perhaps of several lines."""
    said: str
    """What the README says that it says; nothing if the README doesn't."""


def commands_of(readme: Path, url: str) -> list[Command]:
    """Every curl line of the README; `url` is the address that it writes."""
    found = []
    for block in re.findall(r"```sh\n(.*?)```", readme.read_text(), re.DOTALL):
        if "curl" not in block:
            continue
        assert url in block, f"{readme}: a block of curl lines that do not call {url}"
        text: list[str] = []
        said: list[str] = []
        for line in [*block.splitlines(), ""]:
            if text and not text[-1].endswith("\\") and not line.startswith("# "):
                found.append(Command("\n".join(text), "\n".join(said)))
                text, said = [], []
            if line.startswith("# "):
                said.append(line.removeprefix("# "))
            elif line:
                text.append(line)
    return found


async def run(commands: list[Command], url: str, here: str) -> list[str]:
    """What each command said, with the example at `here` instead of at `url`."""
    script = "".join(f"{command.text.replace(url, here)}\nprintf '\\036'\n" for command in commands)
    shell = await asyncio.create_subprocess_exec(
        "sh", "-euc", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            out, err = await shell.communicate()
    finally:
        if shell.returncode is None:
            shell.kill()
            await shell.wait()
    assert shell.returncode == 0, f"{out.decode()}\n{err.decode()}"
    return out.decode().split(SEPARATOR)[:-1]


def is_said(expected: str, said: str) -> bool:
    """Whether a command has said what its comment says."""
    pattern = ".*".join(re.escape(part) for part in expected.split("…"))
    return re.fullmatch(pattern, said.strip(), re.DOTALL) is not None


async def wrong_lines(example: Example, port: int) -> list[tuple[str, str]]:
    """Which of the README's commands say something else than it says, and what, at the example on `port`."""
    url = f"http://127.0.0.1:{example.port}"
    commands = commands_of(example.settings.with_name("README.md"), url)
    said = await run(commands, url, f"http://127.0.0.1:{port}")
    pairs = zip(commands, said, strict=True)
    return [(command.text, words) for command, words in pairs if not is_said(command.said, words)]
