"""A load that never stops: calls start when they are due, whether or not those before were answered."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count, cycle

from tests.faults.client import PATIENCE_S, Client, NoAnswer
from tests.faults.ledger import Call, CallLedger

FRESH_EVERY = 4
"""Each so many calls of a load comes on a connection of its own; the others keep theirs."""
BODY = b'{"work": "something to be done once"}'
_numbers = count(1)

Headers = Callable[[int], Mapping[str, str]]
"""What the call of that number says of itself, beside its id."""


def nothing(_number: int) -> Mapping[str, str]:
    return {}


class Load:
    """Calls to one path, at several gateways and with several methods in turn."""

    def __init__(
        self,
        ports: Sequence[int],
        path: str,
        per_s: float,
        methods: Sequence[str],
        headers: Headers,
        patience_s: float,
    ) -> None:
        self.ledger = CallLedger()
        self.started_at = time.monotonic()
        self.under_way = 0
        self.per_s = per_s
        self._path = path
        self._headers = headers
        self._clients = {port: Client(port, patience_s) for port in ports}
        self._turns = cycle([(port, method) for method in methods for port in ports])
        self._stopped = asyncio.Event()

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Starts calls in `group` until `stop`."""
        due = time.monotonic()
        while not self._stopped.is_set():
            port, method = next(self._turns)
            number = next(_numbers)
            request_id = f"{method.lower()}-{number}"
            headers = {"X-Request-Id": request_id, **self._headers(number)}
            if number % FRESH_EVERY == 0:
                headers["Connection"] = "close"
            group.create_task(self._call(port, method, request_id, headers))
            due += 1 / self.per_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def stop(self) -> None:
        self._stopped.set()

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    async def _call(self, port: int, method: str, request_id: str, headers: Mapping[str, str]) -> None:
        client = self._clients[port]
        body = BODY if method == "POST" else b""
        sent_at = time.monotonic()
        status, reason, instance, retry_after = None, "", "", False
        self.under_way += 1
        try:
            answer = await client.ask(method, self._path, headers, body)
        except NoAnswer as what:
            reason = str(what)
        else:
            status, instance = answer.status, answer.headers.get("x-instance", "")
            retry_after = "retry-after" in answer.headers
            reason = "" if instance or status < 400 else _reason(answer.body)
        finally:
            self.under_way -= 1
        took_s = time.monotonic() - sent_at
        self.ledger.add(
            Call(request_id, method, port, sent_at, took_s, status, reason, instance, retry_after)
        )


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["reason"])
    except (ValueError, KeyError, TypeError):
        return "?"


@asynccontextmanager
async def load(
    *ports: int,
    path: str = "/work/x",
    per_s: float = 60,
    methods: Sequence[str] = ("GET", "POST"),
    headers: Headers = nothing,
    patience_s: float = PATIENCE_S,
) -> AsyncIterator[Load]:
    """The load while the block runs; every call has ended when it is left."""
    running = Load(ports, path, per_s, methods, headers, patience_s)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(running.run(group))
            try:
                yield running
            finally:
                running.stop()
    finally:
        running.close()
