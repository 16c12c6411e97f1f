"""Keeps the gateway informed: introduces the process, reports, and introduces it again when forgotten."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from handlers.gateway_time import GatewayTime
from handlers.heard import Introduced, Noted
from handlers.model import Hello, Jti, Move, ReportRefusal
from handlers.outbox import Outbox
from handlers.runtime.gateway_client import GatewayClient, NoAnswer
from handlers.ticket import Gatekeeper
from registry.backoff import full_jitter

log = structlog.get_logger()

COALESCE_S = 0.025
"""Reports on change are at least so far apart: one call per batch of clients, not per client."""
RETRY_CAP_S = 1.0
"""A third of the time after which a silent handler counts as dead."""
KEYS_AGAIN_S = 5.0
"""Tickets with an unknown key make us ask for new keys, but not more often than this."""
WANTED_AGAIN_S = 0.1
"""Good tickets make a drained handler ask whether it still is one, but not more often than this."""


class GatewayLink:
    """`describe` gives a hello with the counts of now; `heard` is told every answer to a report.

    `run` is the loop; its owner runs it as a task.
    """

    def __init__(
        self,
        client: GatewayClient,
        describe: Callable[[tuple[Jti, ...]], Hello],
        outbox: Outbox,
        *,
        rng: random.Random,
        heard: Callable[[Noted], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._describe = describe
        self._outbox = outbox
        self._rng = rng
        self._heard = heard
        self._clock = clock
        self._news = asyncio.Event()
        self._reporting = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._introduce = True
        self._time = GatewayTime()
        self._troubles: set[NoAnswer] = set()
        self._report_s = 1.0
        self._sent_at = self._settled_at = self._introduced_at = float("-inf")
        self.gatekeeper: Gatekeeper | None = None
        """What tickets are judged with; `None` until a gateway has answered the first hello."""
        self.superseded = False
        """A later process has taken this id."""
        self.draining = False
        """The gateway wants no new clients here."""
        self._drain_ends = float("inf")
        self.leaving = False
        """We want none."""
        self.reconnect: Mapping[str, Any] = {}
        """Advice for our clients, as the gateway last gave it."""

    @property
    def closed(self) -> bool:
        """No new clients, for whatever reason."""
        return self.superseded or self.draining or self.leaving

    @property
    def shut(self) -> bool:
        """Not even a client that was promised a seat here: it could only be closed again."""
        return self.superseded or self.leaving or (self.draining and self._clock() >= self._drain_ends)

    @property
    def unix(self) -> float | None:
        """What time it is at the gateways, in unix seconds; `None` while none has told."""
        return self._time.unix(self._clock())

    def admitted(self, jti: Jti) -> None:
        """To be confirmed with the next report."""
        self._outbox.admitted(jti)
        self._news.set()

    def left(self, jti: Jti) -> None:
        """To be reported as closed: a client that left, or a seat that nobody can use any more."""
        self._outbox.left(jti)
        self._news.set()

    def ask_for_keys(self) -> None:
        """A ticket was signed with a key we don't know: the cluster's secret may have changed."""
        if self._clock() - self._introduced_at >= KEYS_AGAIN_S:
            self._introduced_at = self._clock()
            self._introduce = True
            self._news.set()

    async def may_enter(self, jti: Jti) -> bool | None:
        """Whether the store has room for a late ticket; `None` when no gateway answers."""
        hello = self._describe(())
        answer = await self._client.admit(hello.id, hello.epoch, jti)
        if isinstance(answer, NoAnswer):
            log.warning("gateway_not_asked", gateway=answer.gateway, reason=answer.reason)
            return None
        return answer

    async def wanted(self) -> bool:
        """Whether new clients may come, also when we have not heard so far that a drain is over.

        The store hands us out again at once, so a client with a ticket may know of it first. All who come
        at the same moment share one question.
        """
        came_at = self._clock()
        async with self._asking:
            # A report that was sent since then has brought the answer, or there is none to be had.
            if self.draining and not (self.leaving or self.superseded) and self._settled_at < came_at:
                await asyncio.sleep(max(0.0, self._sent_at + WANTED_AGAIN_S - self._clock()))
                await self.report()
        return not self.closed

    async def run(self) -> None:
        """Ends only when a later process has taken our id."""
        failures = 0
        while not self.superseded:
            if not failures and not self._introduce:
                await self._news_or_time()
            if await (self._hello() if self._introduce else self.report()):
                failures = 0
                continue
            failures += 1
            # Every gateway is tried before the first pause, and told once a round after that: most
            # failures are one gateway that restarts, and when it is the store that is away, each
            # gateway knows only what it was told itself.
            if failures % len(self._client.gateways) == 0:
                rounds = failures // len(self._client.gateways)
                await asyncio.sleep(full_jitter(rounds, self._rng, cap_s=RETRY_CAP_S))

    async def report(self, move: tuple[Move, ...] = ()) -> Noted | None:
        """Says how things are, now, and asks for seats elsewhere for those who are to `move`.

        `None` when that came to nothing, also for a process that a later one has replaced.
        """
        async with self._reporting:
            if self.superseded:
                return None
            self._news.clear()
            self._sent_at = self._clock()
            report = self._outbox.report(self._describe(()).connections, leaving=self.leaving, move=move)
            answer = await self._client.report(report)
            self._settled_at = self._sent_at
            if not isinstance(answer, Noted):
                self._take_no(answer)
                return None
            self._troubles.clear()
            self._set_time(answer.now, self._sent_at)
            self._outbox.acknowledged(report)
            if self._outbox.changed:
                self._news.set()
            if answer.draining != self.draining:
                log.info("draining" if answer.draining else "not_draining", handler=report.id)
            self.draining, self.reconnect = answer.draining, answer.reconnect
            remaining_s = float("inf") if answer.drain is None else answer.drain.remaining_s
            self._drain_ends = self._clock() + remaining_s
            self._heard(answer)
            return answer

    async def _news_or_time(self) -> None:
        """Waits for news to report, at most until a report is due anyway."""
        try:
            async with asyncio.timeout(max(0.0, self._sent_at + self._report_s - self._clock())):
                await self._news.wait()
        except TimeoutError:
            return
        if not self._introduce:
            await asyncio.sleep(max(0.0, self._sent_at + COALESCE_S - self._clock()))

    async def _hello(self) -> bool:
        hello, asked_at = self._describe(self._outbox.unconfirmed), self._clock()
        answer = await self._client.hello(hello)
        if isinstance(answer, Introduced):
            self.gatekeeper = Gatekeeper(hello.id, hello.epoch, answer.issuer, answer.keys)
            self._report_s, self.reconnect = answer.report_s, answer.reconnect
            self._introduce = False
            self._set_time(answer.now, asked_at)
            self._troubles.clear()
            self._introduced_at = self._clock()
            log.info("introduced", handler=hello.id, epoch=hello.epoch)
            return True
        self._take_no(answer)
        return False

    def _set_time(self, told: float | None, asked_at: float) -> None:
        if told is not None:
            self._time.told(told, asked_at, self._clock())

    def _take_no(self, answer: ReportRefusal | NoAnswer) -> None:
        """What follows from an answer that was not a yes."""
        if answer is ReportRefusal.STALE_EPOCH:
            self.superseded = True
            log.error("superseded", detail="a later process has taken this handler_id; no new clients here")
        elif answer is ReportRefusal.UNKNOWN_HANDLER:
            self._introduce = True
        elif answer not in self._troubles:
            self._troubles.add(answer)  # each is said once, not with every try
            log.warning("gateway_not_told", gateway=answer.gateway, reason=answer.reason)

    def __repr__(self) -> str:
        state = "superseded" if self.superseded else "introduced" if self.gatekeeper else "unknown"
        return f"<GatewayLink: {state}, {self._outbox!r}>"
