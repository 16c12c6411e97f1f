"""A process full of clients. Each line of stdin is a command in JSON, and is answered by a line on stdout.

{"do": "come", "count": 2500, "per_s": 100}    so many clients more, at that pace
{"do": "look"}                                 how all of them are
{"do": "churn", "per_s": 10}                   so many leave each second and come anew; 0 ends it
{"do": "hush"}                                 nobody says anything new
{"do": "end"}                                  all leave, and the process ends

python -m bench.fleet.crowd --first 0 --every 5 --from 127.0.0.2 --gateway URL …
"""

import argparse
import asyncio
import json
import logging
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from itertools import count
from typing import Any

import structlog
import uvloop
from aiohttp import ClientSession

from bench import quaymaster
from bench.fleet.talker import Talker
from handlers.runtime.client import State, client_session
from registry.runtime.tasks import Tasks

LEAVING_AT_ONCE = 50


class Crowd:
    """`first` is the number of its first client: no two crowds have the same users."""

    def __init__(
        self,
        session: ClientSession,
        gateways: Sequence[str],
        *,
        first: int,
        every_s: float,
        rng: random.Random,
    ) -> None:
        self._session = session
        self._gateways = gateways
        self._numbers = count(first)
        self._every_s = every_s
        self._rng = rng
        self._talkers: list[Talker] = []
        self._left: Counter[str] = Counter()
        """What the clients that have left had counted."""
        self._hushed = False
        self._tasks = Tasks(_died)
        self._churning: asyncio.Task[None] | None = None

    def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        match command["do"]:
            case "come":
                self._tasks.start("coming", self._come(command["count"], command["per_s"]))
            case "churn":
                self._churn(command["per_s"])
            case "hush":
                self._hushed = True
                for talker in self._talkers:
                    talker.quiet = True
            case "look":
                return self._look()
        return {}

    async def close(self) -> None:
        await self._tasks.close()
        while self._talkers:
            going = [self._talkers.pop() for _ in range(min(LEAVING_AT_ONCE, len(self._talkers)))]
            await asyncio.gather(*(talker.stop() for talker in going))

    async def _come(self, clients: int, per_s: float) -> None:
        started = asyncio.get_running_loop().time()
        for number in range(clients):
            await asyncio.sleep(started + number / per_s - asyncio.get_running_loop().time())
            await self._new_talker()

    async def _new_talker(self) -> None:
        number = next(self._numbers)
        uid = f"user-{number}"
        talker = Talker(
            uid=uid,
            token=quaymaster.token(uid),
            gateway=self._gateways[number % len(self._gateways)],
            session=self._session,
            every_s=self._every_s,
            rng=self._rng,
            quiet=self._hushed,
        )
        self._talkers.append(talker)
        await talker.start()

    def _churn(self, per_s: float) -> None:
        if self._churning is not None:
            self._churning.cancel()
            self._churning = None
        if per_s:
            self._churning = self._tasks.start("churning", self._leave_and_come(per_s))

    async def _leave_and_come(self, per_s: float) -> None:
        while True:
            await asyncio.sleep(1 / per_s)
            leaving = self._talkers.pop(self._rng.randrange(len(self._talkers)))
            await leaving.stop()
            self._left.update(_counted(leaving))
            await self._new_talker()

    def _look(self) -> dict[str, Any]:
        total = self._left.copy()
        for talker in self._talkers:
            total.update(_counted(talker))
        return {
            **{name: total[name] for name in COUNTED},
            "clients": len(self._talkers),
            "connected": sum(talker.client.sockets > 0 for talker in self._talkers),
            "unanswered": sum(talker.counts.unanswered for talker in self._talkers),
            "stopped": sum(
                talker.failed or talker.client.status.state is State.CLOSED for talker in self._talkers
            ),
        }


COUNTED = ("heard", "again", "skipped", "doubled", "losses", "moves")


def _counted(talker: Talker) -> dict[str, int]:
    counts, client = talker.counts, talker.client
    return dict(
        zip(
            COUNTED,
            (counts.heard, counts.again, counts.skipped, counts.doubled, client.losses, client.moves),
            strict=True,
        )
    )


def _died(name: str, error: BaseException) -> None:
    raise RuntimeError(f"{name} ended") from error


async def lines() -> AsyncIterator[dict[str, Any]]:
    """The commands on stdin; its end is the last."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield json.loads(line)


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet.crowd")
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--every", type=float, required=True)
    parser.add_argument("--from", dest="address", required=True)
    parser.add_argument("--gateway", action="append", required=True)
    given = parser.parse_args()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    async with client_session(given.address) as session:
        rng = random.Random(given.first)
        crowd = Crowd(session, given.gateway, first=given.first, every_s=given.every, rng=rng)
        try:
            async for command in lines():
                if command["do"] == "end":
                    break
                print(json.dumps(crowd.obey(command)), flush=True)
        finally:
            await crowd.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
