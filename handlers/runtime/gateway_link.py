"""Keeps the gateway informed: introduces the process, reports, and introduces it again when forgotten."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from handlers.model import Hello, Jti, ReportRefusal
from handlers.outbox import Outbox
from handlers.runtime.gateway_client import GatewayClient, Introduced, NoAnswer, Noted
from handlers.ticket import Gatekeeper
from registry.backoff import full_jitter

log = structlog.get_logger()

COALESCE_S = 0.025
"""Reports on change are at least so far apart: one call per batch of clients, not per client."""
RETRY_CAP_S = 1.0
"""A third of the time after which a silent handler counts as dead."""
KEYS_AGAIN_S = 5.0
"""Tickets with an unknown key make us ask for new keys, but not more often than this."""


class GatewayLink:
    """`describe` gives a hello with the counts of now. `run` is the loop; its owner runs it as a task."""

    def __init__(
        self,
        client: GatewayClient,
        describe: Callable[[tuple[Jti, ...]], Hello],
        outbox: Outbox,
        *,
        rng: random.Random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._describe = describe
        self._outbox = outbox
        self._rng = rng
        self._clock = clock
        self._news = asyncio.Event()
        self._reporting = asyncio.Lock()
        self._introduce = True
        self._troubles: set[NoAnswer] = set()
        self._report_s = 1.0
        self._sent_at = self._introduced_at = float("-inf")
        self.gatekeeper: Gatekeeper | None = None
        """What tickets are judged with; `None` until a gateway has answered the first hello."""
        self.superseded = False
        """A later process has taken this id."""
        self.draining = False
        """The gateway wants no new clients here."""
        self.leaving = False
        """We want none."""
        self.reconnect: Mapping[str, Any] = {}
        """Advice for our clients, as the gateway last gave it."""

    @property
    def closed(self) -> bool:
        """No new clients, for whatever reason."""
        return self.superseded or self.draining or self.leaving

    def admitted(self, jti: Jti) -> None:
        """To be confirmed with the next report."""
        self._outbox.admitted(jti)
        self._news.set()

    def left(self, jti: Jti) -> None:
        """To be reported as closed."""
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

    async def run(self) -> None:
        """Ends only when a later process has taken our id."""
        failures = 0
        while not self.superseded:
            if await (self._hello() if self._introduce else self._due_report()):
                failures = 0
                continue
            failures += 1
            # Each gateway gets one try at once: most failures are one gateway that restarts.
            if (pauses := failures - len(self._client.gateways)) > 0:
                await asyncio.sleep(full_jitter(pauses, self._rng, cap_s=RETRY_CAP_S))

    async def report(self) -> bool:
        """Says how things are, now. False when that came to nothing."""
        async with self._reporting:
            self._news.clear()
            self._sent_at = self._clock()
            report = self._outbox.report(self._describe(()).connections, leaving=self.leaving)
            answer = await self._client.report(report)
            if not isinstance(answer, Noted):
                return self._take_no(answer)
            self._troubles.clear()
            self._outbox.acknowledged(report)
            if self._outbox.changed:
                self._news.set()
            if answer.draining != self.draining:
                log.info("draining" if answer.draining else "not_draining", handler=report.id)
            self.draining, self.reconnect = answer.draining, answer.reconnect
            return True

    async def _due_report(self) -> bool:
        """Waits for news, at most until a report is due anyway."""
        try:
            async with asyncio.timeout(max(0.0, self._sent_at + self._report_s - self._clock())):
                await self._news.wait()
        except TimeoutError:
            pass
        if self._introduce:
            return True
        await asyncio.sleep(max(0.0, self._sent_at + COALESCE_S - self._clock()))
        return await self.report()

    async def _hello(self) -> bool:
        hello = self._describe(self._outbox.unconfirmed)
        answer = await self._client.hello(hello)
        if isinstance(answer, Introduced):
            self.gatekeeper = Gatekeeper(hello.id, hello.epoch, answer.issuer, answer.keys)
            self._report_s, self.reconnect = answer.report_s, answer.reconnect
            self._introduce = False
            self._troubles.clear()
            self._introduced_at = self._clock()
            log.info("introduced", handler=hello.id, epoch=hello.epoch)
            return True
        return self._take_no(answer)

    def _take_no(self, answer: ReportRefusal | NoAnswer) -> bool:
        """What follows from an answer that was not a yes."""
        if answer is ReportRefusal.STALE_EPOCH:
            self.superseded = True
            log.error("superseded", detail="a later process has taken this handler_id; no new clients here")
        elif answer is ReportRefusal.UNKNOWN_HANDLER:
            self._introduce = True
        elif answer not in self._troubles:
            self._troubles.add(answer)  # each is said once, not with every try
            log.warning("gateway_not_told", gateway=answer.gateway, reason=answer.reason)
        return False

    def __repr__(self) -> str:
        state = "superseded" if self.superseded else "introduced" if self.gatekeeper else "unknown"
        return f"<GatewayLink: {state}, {self._outbox!r}>"
