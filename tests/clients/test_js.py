"""`clients/js`, by its own tests under Node.js."""

import asyncio
import json
import re

from tests.servers import ROOT, find_program

CLIENT = ROOT / "clients" / "js"
HOW = "install Node.js 20.10 or later, from nodejs.org or your system's packages"


async def test_the_modules_own_tests_pass() -> None:
    node = find_program("node", HOW)
    process = await asyncio.create_subprocess_exec(
        *(node, "--experimental-websocket", "--test", "--test-reporter=spec"),
        *map(str, sorted(CLIENT.glob("test/*.test.js"))),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    passed = re.search(r"^\S pass (\d+)$", said.decode(), re.MULTILINE)
    assert passed, said.decode()
    assert int(passed[1]) > 20


def test_the_module_needs_nothing_and_knows_no_application() -> None:
    module = (CLIENT / "quaymaster.js").read_text()
    assert not re.findall(r"^\s*import\b|\bimport\(|\brequire\(", module, re.MULTILINE)
    assert not {"dependencies", "peerDependencies"} & set(json.loads((CLIENT / "package.json").read_text()))
    assert not re.findall(r"\b(?:document|window|localStorage|sessionStorage)\.|\bpartner\b", module)
