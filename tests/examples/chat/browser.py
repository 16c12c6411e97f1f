"""A headless Chromium, driven over its DevTools protocol: pages that run scripts and make pictures."""

import asyncio
import os
import re
import shutil
import signal
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from registry.runtime.tasks import Tasks
from tests.servers import find_program

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START_S = 30.0
COMMAND_S = 15.0
FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-sandbox",  # containers run tests as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-proxy-server",
    # A tab in the background is to be as quick as the one in front.
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
)


class ScriptFailed(AssertionError):
    """A script that a test ran in a page threw."""


class Browser:
    """The one connection to the browser; each tab speaks over it under a name of its own."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []
        """What pages wrote to the console as errors, and what they threw."""

    async def read(self) -> None:
        """Sorts what comes until the browser has gone."""
        async for message in self._socket:
            told = message.json()
            if answer := self._answers.pop(told.get("id"), None):
                answer.set_result(told)
            elif told.get("method") == "Runtime.exceptionThrown":
                details = told["params"]["exceptionDetails"]
                self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        for answer in self._answers.values():
            answer.cancel()

    async def command(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        told = {"id": number, "method": method, "params": params}
        await self._socket.send_json(told if session is None else told | {"sessionId": session})
        async with asyncio.timeout(COMMAND_S):
            got = await answer
        assert "error" not in got, f"{method}: {got['error']}"
        result: dict[str, Any] = got["result"]
        return result

    async def open(self, url: str) -> "Tab":
        """A new tab."""
        target = await self.command(
            "Target.createTarget", url="about:blank", newWindow=True, width=900, height=700
        )
        attached = await self.command("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        tab = Tab(self, attached["sessionId"])
        await self.command("Runtime.enable", tab.session)
        await self.command("Page.navigate", tab.session, url=url)
        return tab


class Tab:
    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self.session = session

    async def run(self, script: str) -> Any:
        """The value of a script. Raises `ScriptFailed`."""
        got = await self._browser.command(
            "Runtime.evaluate", self.session, expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in got:
            raise ScriptFailed(got["exceptionDetails"]["exception"].get("description", script))
        return got["result"].get("value")

    async def until(self, script: str, within_s: float = 15.0) -> Any:
        """The script's value once it is true. Fails with what it was last."""
        deadline = asyncio.get_running_loop().time() + within_s
        while not (value := await self.run(script)):
            assert asyncio.get_running_loop().time() < deadline, f"it is still {value!r}: {script}"
            await asyncio.sleep(0.03)
        return value

    async def reload(self) -> None:
        await self._browser.command("Page.reload", self.session)

    async def picture(self, path: Path) -> None:
        """A PNG of what there is to see."""
        shot = await self._browser.command("Page.captureScreenshot", self.session)
        await asyncio.to_thread(path.write_bytes, b64decode(shot["data"]))


def chromium() -> str:
    """The path of a Chromium; else the test is skipped or failed."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or find_program("chromium", "install it with your system's packages")


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser of one's own, with a profile that is thrown away."""
    program = chromium()
    with tempfile.TemporaryDirectory(prefix="quaymaster-chromium-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            *(program, *FLAGS, f"--user-data-dir={profile}", "about:blank"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        died: list[BaseException] = []
        tasks = Tasks(lambda _name, error: died.append(error))
        try:
            assert process.stderr is not None
            url = await _devtools_url(process.stderr)
            tasks.start("chromium's words", _drain(process.stderr))
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(url, max_msg_size=0) as socket,
            ):
                made = Browser(socket)
                tasks.start("chromium's answers", made.read())
                yield made
                await made.command("Browser.close")
            assert not died
        finally:
            await _stop(process)
            await tasks.close()


async def _devtools_url(words: asyncio.StreamReader) -> str:
    said = ""
    async with asyncio.timeout(START_S):
        while line := (await words.readline()).decode(errors="replace"):
            said += line
            if found := re.search(r"DevTools listening on (ws://\S+)", line):
                return found[1]
    raise RuntimeError(f"chromium did not start: {said}")


async def _drain(words: asyncio.StreamReader) -> None:
    while await words.read(65_536):
        pass


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Itself, and if need be the processes of its own session."""
    try:
        async with asyncio.timeout(5):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
