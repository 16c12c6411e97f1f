"""How long a handler that was killed with -9 is still handed out: three gateways, real Redis, real Consul.

Nobody notices in the first case: it counts as dead once it has been silent for `dead_after_s`. In the second
the clients are as real ones are: who can't connect to it asks again and excludes it.
"""

import http.client
import json
import time
from collections.abc import Sequence
from itertools import count, cycle

from bench import quaymaster
from bench.fleet.stage import GATEWAYS, Cast, HandlerProcess, Stage, eligible_nowhere, stage
from bench.processes import DidNotStart
from bench.report import Goal, Options, Report, Row, times_ms
from bench.reporting import SEATS
from handlers.model import PoolSettings

ROUNDS = 3
ASK_EVERY_S = 0.01
QUIET_S = 0.5
"""So long a dead handler must not have been handed out any more, after the gateways say that it is silent."""
PATIENCE_S = 10.0
DEAD_AFTER_S = PoolSettings().dead_after_s
REPORT_S = 1.25 * DEAD_AFTER_S / 3
"""A report, and a quarter of one for its journey."""
UNNOTICED = "nobody notices"
EXCLUDED = "clients exclude it"


class Clients:
    """Users who ask for a handler, each once, the gateways in turn."""

    def __init__(self, gateways: Sequence[int]) -> None:
        self._doors = cycle([http.client.HTTPConnection("127.0.0.1", port, timeout=5) for port in gateways])
        self._numbers = count()

    def ask(self, *, excluding: str | None = None) -> str:
        """The handler that a new user gets. If it is `excluding`, that user asks once more, without it."""
        uid = f"user-{next(self._numbers)}"
        handler = self._ask_as(uid, {})
        if handler == excluding:
            self._ask_as(uid, {"X-Exclude-Handler": handler})
        return handler

    def _ask_as(self, uid: str, told: dict[str, str]) -> str:
        """Raises `DidNotStart` when there is no seat."""
        door = next(self._doors)
        door.request("GET", SEATS, headers={"token": quaymaster.token(uid), **told})
        answer = door.getresponse()
        body = json.loads(answer.read())
        if answer.status != 200:
            raise DidNotStart(f"a client got {answer.status}: {body}")
        return str(body["handler_id"])


def measure(options: Options) -> Report:
    rounds = 1 if options.quick else ROUNDS
    with stage(Cast(clients=0, handlers=2 * rounds + 2, capacity=10_000, every_s=1.0)) as on:
        clients = Clients(on.gateways)
        seen = {
            case: [handed_out_s(on, clients, on.living[0], notice=notice) for _ in range(rounds)]
            for case, notice in ((UNNOTICED, False), (EXCLUDED, True))
        }
    worst = {case: max(seconds) for case, seconds in seen.items()}
    return Report(
        measurement="death",
        title="A handler killed with -9, until no client gets it any more",
        rows=tuple(Row(case, times_ms(seconds)) for case, seconds in seen.items()),
        goals=(
            Goal(f"{UNNOTICED}: the longest, s", worst[UNNOTICED], "at most", DEAD_AFTER_S),
            Goal(f"{EXCLUDED}: the longest, s", worst[EXCLUDED], "at most", REPORT_S),
        ),
        notes=(
            f"{GATEWAYS} gateways on one Redis and one Consul; {1 / ASK_EVERY_S:g} users a second ask",
            "from before the signal to the last answer that named the dead handler",
        ),
    )


def handed_out_s(on: Stage, clients: Clients, victim: HandlerProcess, *, notice: bool) -> float:
    """Kills it, and asks until it is not handed out any more. Raises `DidNotStart` if that goes on."""
    while clients.ask() != victim.id:
        pass
    killed_at = last_at = time.monotonic()
    victim.kill()
    while True:
        if clients.ask(excluding=victim.id if notice else None) == victim.id:
            last_at = time.monotonic()
        elif time.monotonic() > last_at + QUIET_S and eligible_nowhere(on, victim.id):
            return last_at - killed_at
        if time.monotonic() > killed_at + PATIENCE_S:
            raise DidNotStart(f"{victim.id} is dead for {PATIENCE_S:g} s and handed out still")
        time.sleep(ASK_EVERY_S)
