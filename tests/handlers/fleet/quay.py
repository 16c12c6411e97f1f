"""Our policy under the same storm: the real `SeatLedger`, handler processes that report, and clients that
obey what they are told. Gateways have no part in it: they keep nothing, so it is one ledger for all."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from handlers.ledger import SeatLedger
from handlers.model import (
    HandlerId,
    Hello,
    Jti,
    PoolSettings,
    Report,
    Seat,
    SeatRefusal,
    SeatRefused,
    SeatRequest,
    Uid,
)
from tests.handlers.fleet.storm import Outcome, Storm, Tally
from tests.handlers.fleet.virtual import VirtualTime

REPORT_S = 1.0
COALESCE_S = 0.025
"""A process with news reports so soon (`handlers/runtime/gateway_link.py`)."""
CONNECTS_S = (0.01, 0.2)
"""From the answer with a ticket to the socket."""
LATE_S = (0.0, 0.05)
"""How much after its appointment a client's request arrives."""
SHORTEST_S = 0.05
"""Nobody asks again sooner (`handlers/client.py`)."""
BEYOND_S = (30.0, 60.0)
"""When those come back for whom the book had no page."""
UP_S = 60.0
"""How long a handler that is not new has been up."""


@dataclass(slots=True)
class Client:
    uid: Uid
    exclude: frozenset[HandlerId] = frozenset()
    slot: float | None = None
    asked: int = 0


@dataclass(slots=True)
class Process:
    """A handler process: counts its clients, and reports them soon after a change and every second."""

    number: int
    connections: int
    alive: bool = True
    seq: int = 0
    confirmed: list[Jti] = field(default_factory=list)

    @property
    def id(self) -> HandlerId:
        return handler_id(self.number)


def handler_id(number: int) -> HandlerId:
    return HandlerId(f"WSH{number:02}")


class QuayFleet:
    """`up_for_s` is how long each handler has been up at time 0, when the storm begins."""

    def __init__(
        self,
        pool: PoolSettings,
        before: Sequence[int],
        rng: random.Random,
        *,
        up_for_s: Sequence[float],
    ) -> None:
        self.ledger = SeatLedger(pool)
        self.tally = Tally(pool.capacity, list(before))
        self.refused: Counter[SeatRefusal] = Counter()
        self.asked: Counter[int] = Counter()
        """How many clients had to ask so often."""
        self.seated_at: dict[Uid, float] = {}
        self.sent_to_dead: list[float] = []
        """When clients were sent to a handler that is no more."""
        self._capacity = pool.capacity
        self._rng = rng
        self.time = VirtualTime(-max(up_for_s))
        self.processes = [Process(number, connections) for number, connections in enumerate(before)]
        for process, up_s in zip(self.processes, up_for_s, strict=True):
            self.time.at(-up_s, partial(self._start, process))
        self.time.run(0.0)

    # --- clients ---------------------------------------------------------------------------------

    def come(self, client: Client, at: float) -> None:
        """That client asks for a handler at that time, and does what it is told until it has one."""
        self.time.at(at, partial(self.ask, client))

    def ask(self, client: Client) -> None:
        client.asked += 1
        jti = Jti(f"{client.uid}/{client.asked}")
        request = SeatRequest(client.uid, jti, exclude=client.exclude, slot=client.slot)
        answer = self.ledger.reserve(request, self.time.now)
        if isinstance(answer, SeatRefused):
            self._come_back(client, answer)
            return
        process = self._process(answer)
        if not process.alive:
            self.sent_to_dead.append(self.time.now)
            client.exclude |= {process.id}
            self.time.after(self._draw(CONNECTS_S), partial(self.ask, client))
            return
        self.asked[client.asked] += 1
        self.seated_at[client.uid] = self.time.now
        self.tally.join(process.number, self.time.now)
        self.time.after(self._draw(CONNECTS_S), partial(self._connect, process, answer.jti))

    def _come_back(self, client: Client, refused: SeatRefused) -> None:
        self.refused[refused.reason] += 1
        client.slot = refused.slot
        wait_s = max(SHORTEST_S, refused.retry_after_s)
        if refused.slot is not None:
            wait_s += self._draw(LATE_S)
        elif refused.reason is SeatRefusal.COME_BACK:
            wait_s = self._draw(BEYOND_S)
        self.time.after(wait_s, partial(self.ask, client))

    def _process(self, seat: Seat) -> Process:
        return self.processes[int(seat.handler.removeprefix("WSH"))]

    def _draw(self, between: tuple[float, float]) -> float:
        return self._rng.uniform(*between)

    # --- handler processes -----------------------------------------------------------------------

    def _start(self, process: Process) -> None:
        url = f"http://{process.id}:1"
        hello = Hello(
            process.id, self._epoch(process), url, "/ws", self._capacity, connections=process.connections
        )
        assert self.ledger.hello(hello, self.time.now) is None
        self._report_every_second(process)

    def _epoch(self, process: Process) -> int:
        return process.number + 1

    def _report_every_second(self, process: Process) -> None:
        if process.alive:
            self._report(process)
            self.time.after(REPORT_S, partial(self._report_every_second, process))

    def _connect(self, process: Process, jti: Jti) -> None:
        process.connections += 1
        process.confirmed.append(jti)
        if len(process.confirmed) == 1:
            self.time.after(COALESCE_S, partial(self._report, process))

    def _report(self, process: Process) -> None:
        if not process.alive:
            return
        process.seq += 1
        confirmed, process.confirmed = tuple(process.confirmed), []
        report = Report(process.id, self._epoch(process), process.seq, process.connections, confirmed)
        self.ledger.report(report, self.time.now)


def run(storm: Storm, pool: PoolSettings, seed: int, *, fresh_up_s: float) -> tuple[Outcome, QuayFleet]:
    """The storm on handlers of which the empty ones have been up for `fresh_up_s`. Ends when nobody is left
    to be seated, or after two minutes."""
    rng = random.Random(seed)
    up = [UP_S if connections else fresh_up_s for connections in storm.before]
    fleet = QuayFleet(pool, storm.before, rng, up_for_s=up)
    for number, at in enumerate(storm.arrivals(rng)):
        fleet.come(Client(Uid(f"client-{number}")), at)
    fleet.time.run(120.0)
    return fleet.tally.outcome(), fleet
