"""When settings are read again, and what becomes of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.reloading import ReloadLedger
from gateway.runtime.reload import Reloader
from gateway.runtime.rules import StartFailed
from gateway.runtime.settings_source import SettingsSource
from gateway.settings import Settings
from tests.balancer.origins import until
from tests.gateway.runtime.gateways import settings_text

OFTEN_S = 0.01


class Followed:
    """What a gateway was told to follow."""

    def __init__(self, *, not_applied: tuple[str, ...] = (), failure: str = "") -> None:
        self.drains: list[float] = []
        self.under_way = 0
        self.most_at_a_time = 0
        self.go = asyncio.Event()
        self.go.set()
        self._not_applied = not_applied
        self._failure = failure

    async def follow(self, settings: Settings) -> tuple[str, ...]:
        self.under_way += 1
        self.most_at_a_time = max(self.most_at_a_time, self.under_way)
        await self.go.wait()
        self.under_way -= 1
        if self._failure:
            raise StartFailed(self._failure)
        self.drains.append(settings.listen.drain_s)
        return self._not_applied


def write(file: Path, drain_s: float) -> None:
    file.write_text(settings_text(listen={"drain_s": drain_s}))


def write_nonsense(file: Path) -> None:
    file.write_text("listen: {prot: 9000}\nzone: [1]\n")


def remove(file: Path) -> None:
    file.unlink()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "quaymaster.yaml"
    write(file, 1)
    return file


@asynccontextmanager
async def reloading(file: Path, followed: Followed) -> AsyncIterator[Reloader]:
    """A reloader at work, as it is after the start."""
    source = SettingsSource(file, environment={})
    assert isinstance(source.read(), Settings)
    reloader = Reloader(source, followed.follow, ReloadLedger("start"), look_every_s=OFTEN_S)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(reloader.run())
        try:
            yield reloader
        finally:
            running.cancel()


async def test_a_file_that_was_written_is_followed(file: Path) -> None:
    followed = Followed()
    async with reloading(file, followed) as reloader:
        write(file, 22)
        await until(lambda: followed.drains == [22])
        await until(lambda: reloader.ledger.counts == {"applied": 1})
        assert reloader.ledger.loaded_at != "start"


async def test_a_swap_of_the_link_above_it_is_followed(tmp_path: Path) -> None:
    """As a ConfigMap is replaced: neither the file's own link nor a file behind any link is written."""
    for number in (1, 2, 3):
        (tmp_path / f"..{number}").mkdir()
        write(tmp_path / f"..{number}" / "quaymaster.yaml", number)
    (tmp_path / "..data").symlink_to("..1")
    file = tmp_path / "quaymaster.yaml"
    file.symlink_to("..data/quaymaster.yaml")
    followed = Followed()
    async with reloading(file, followed):
        for number in (2, 3):
            (tmp_path / "..data_tmp").symlink_to(f"..{number}")
            (tmp_path / "..data_tmp").rename(tmp_path / "..data")
            await until(lambda: followed.drains[-1:] == [number])  # noqa: B023 - it has ended by then


async def test_whoever_asks_gets_a_reload_without_a_change(file: Path) -> None:
    followed = Followed()
    async with reloading(file, followed) as reloader:
        reloader.ask()
        await until(lambda: followed.drains == [1])


async def test_a_flood_of_questions_is_one_reload_at_a_time(file: Path) -> None:
    followed = Followed()
    followed.go.clear()
    async with reloading(file, followed) as reloader:
        reloader.ask()
        await until(lambda: followed.under_way == 1)
        for _ in range(100):
            reloader.ask()
            await asyncio.sleep(0)
        followed.go.set()
        await until(lambda: len(followed.drains) == 2)
        assert followed.most_at_a_time == 1
        # A further one would be the only reason for this file to be read again.
        write(file, 33)
        await until(lambda: followed.drains[-1] == 33)
        assert followed.drains == [1, 1, 33]


async def test_settings_that_are_refused_change_nothing_and_are_not_tried_again(file: Path) -> None:
    followed = Followed()
    async with reloading(file, followed) as reloader:
        write_nonsense(file)
        await until(lambda: reloader.ledger.error is not None)
        assert reloader.ledger.error is not None
        assert "listen.prot" in reloader.ledger.error
        assert (reloader.ledger.loaded_at, followed.drains) == ("start", [])
        write(file, 5)
        await until(lambda: followed.drains == [5])
        await until(lambda: reloader.ledger.error is None)
        assert reloader.ledger.counts == {"refused": 1, "applied": 1}


async def test_a_file_that_goes_away_is_said_once_and_missed_no_more(file: Path) -> None:
    followed = Followed()
    async with reloading(file, followed) as reloader:
        remove(file)
        await until(lambda: reloader.ledger.error is not None)
        write(file, 6)
        await until(lambda: followed.drains == [6])
        assert reloader.ledger.counts["refused"] == 1


async def test_what_the_gateway_can_not_follow_is_refused(file: Path) -> None:
    followed = Followed(failure="identity.public_key_file: no such file")
    async with reloading(file, followed) as reloader:
        reloader.ask()
        await until(lambda: reloader.ledger.error == "identity.public_key_file: no such file")


async def test_a_bug_at_a_reload_ends_nothing(file: Path) -> None:
    bugs = [ZeroDivisionError()]
    followed = Followed()

    async def follow(settings: Settings) -> tuple[str, ...]:
        if bugs:
            raise bugs.pop()
        return await followed.follow(settings)

    async with reloading(file, followed) as reloader:
        reloader.follow = follow
        reloader.ask()
        await until(lambda: reloader.ledger.counts == {"refused": 1})
        reloader.ask()
        await until(lambda: followed.drains == [1])


async def test_what_needs_a_restart_is_said(file: Path) -> None:
    followed = Followed(not_applied=("store.url",))
    async with reloading(file, followed) as reloader:
        reloader.ask()
        await until(lambda: reloader.ledger.not_applied == ("store.url",))
