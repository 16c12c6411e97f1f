"""The page in a real browser, while handlers die, are drained, and the gateway restarts.

Two tabs talk all the time. Whatever happens, each message is seen once, and in the order of its writer.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.examples.chat.browser import Browser, Tab, browser
from tests.examples.chat.town import Town, town

pytestmark = pytest.mark.asyncio(loop_scope="module")

WATCH = """
window.told = [];
new MutationObserver(() => told.push(document.getElementById("link-text").textContent))
  .observe(document.getElementById("link-text"), { childList: true });
"""
SAID = """[...document.querySelectorAll("#log .entry")].map((entry) => [
  entry.classList.contains("mine"), entry.querySelector(".bubble").textContent])"""
OPEN = '!document.getElementById("chat").hidden'
STATUS = 'document.getElementById("link-text").textContent'


class Person:
    """Somebody at a tab of the page."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self.wrote: list[str] = []

    async def join(self) -> None:
        await self.tab.until('document.getElementById("door")?.hidden === false')
        await self.tab.run(WATCH)
        await self.tab.run('document.getElementById("demo").click()')

    async def write(self, text: str) -> None:
        self.wrote.append(text)
        await self.tab.run(f"""document.getElementById("text").value = {text!r};
            document.getElementById("composer").requestSubmit();""")

    async def handler(self) -> str:
        """Where the page says it is connected."""
        text = await self.tab.until(f"/^(Connected|Moved)(?!.*moving)/.test({STATUS}) && {STATUS}")
        return str(next(word for word in reversed(text.replace(",", " ").split()) if word.startswith("WSH")))

    async def told(self) -> list[str]:
        """What the status line said since the last question, in order."""
        told: list[str] = await self.tab.run("told.splice(0)")
        return told

    async def said(self, *, mine: bool) -> list[str]:
        return [text for by_me, text in await self.tab.run(SAID) if by_me is mine]


class Pair:
    def __init__(self, town: Town, browser: Browser, ann: Person, bob: Person) -> None:
        self.town, self.browser = town, browser
        self.ann, self.bob = ann, bob
        self._count = 0

    async def talk(self, exchanges: int) -> None:
        for _ in range(exchanges):
            self._count += 1
            await self.ann.write(f"ann {self._count}")
            await self.bob.write(f"bob {self._count}")
            await asyncio.sleep(0.05)

    async def check(self) -> None:
        """Everything that was written was seen by both, once and in order, and nothing is left to deliver."""
        for one, other in ((self.ann, self.bob), (self.bob, self.ann)):
            last = one.wrote[-1]
            await other.tab.until(f"({SAID}).some(([mine, text]) => !mine && text === {last!r})")
            await one.tab.until('!document.querySelector("#log .sending, #log .kept, #log .failed")')
            assert await other.said(mine=False) == one.wrote
            assert await one.said(mine=True) == one.wrote
        assert self.browser.complaints == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """Two who have met, on two handlers."""
    async with town(tmp_path_factory.mktemp("chat")) as made, browser() as chromium:
        people = [Person(await chromium.open(made.url)) for _ in range(2)]
        for person in people:
            await person.join()
        for person in people:
            await person.tab.until(OPEN)
        yield Pair(made, chromium, *people)


async def test_two_tabs_meet_and_talk(pair: Pair) -> None:
    assert await pair.ann.handler() != await pair.bob.handler()
    await pair.talk(5)
    await pair.check()


async def test_a_handler_that_is_killed_costs_a_reconnect_and_no_message(pair: Pair) -> None:
    await pair.ann.told()
    lost = await pair.ann.handler()
    await pair.talk(3)
    await pair.town.kill(lost)
    await pair.talk(10)
    await pair.ann.tab.until(f'{STATUS}.startsWith("Connected again, to")')
    await pair.check()
    told = await pair.ann.told()
    assert told[0].startswith(f"{lost} closed the connection. Next try in ")
    assert told[-1] == f"Connected again, to {await pair.ann.handler()}"
    assert lost != await pair.ann.handler()
    await pair.town.start(lost)


async def test_a_handler_that_is_drained_costs_nothing_at_all(pair: Pair) -> None:
    await pair.bob.told()
    left = await pair.bob.handler()
    await pair.town.drain(left, deadline_s=10)
    await pair.talk(20)
    await pair.bob.tab.until(f'{STATUS}.startsWith("Moved from {left} to WSH")')
    await pair.talk(3)
    await pair.check()
    assert not [text for text in await pair.bob.told() if "Next try" in text or "Asking" in text]


async def test_while_the_gateway_restarts_the_talk_goes_on(pair: Pair) -> None:
    await pair.ann.told()
    await pair.town.stop("gateway")
    await pair.talk(3)
    await pair.check()
    assert await pair.ann.told() == []
    lost = await pair.ann.handler()
    await pair.town.kill(lost)
    await pair.ann.write("nobody is there to ask")
    await pair.ann.tab.until('told.some((text) => text.startsWith("The gateway does not answer."))')
    await pair.town.start("gateway")
    again = f'{STATUS}.startsWith("Connected again, to")'
    await pair.ann.tab.until(f'{again} || void document.getElementById("link-now").click()')
    await pair.talk(3)
    await pair.check()


async def test_a_page_that_is_loaded_again_goes_on_where_it_was(pair: Pair) -> None:
    await pair.bob.tab.reload()
    await pair.bob.tab.until(f"document.readyState === 'complete' && {OPEN}")
    await pair.talk(3)
    await pair.check()
