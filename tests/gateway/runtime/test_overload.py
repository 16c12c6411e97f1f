"""The door of a gateway with more to do than it can, and what becomes of whoever is outside."""

import asyncio
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.runtime.client_request import ClientRequest
from gateway.runtime.overload import AT_EACH_TURN, FIRST_PACE, Door
from gateway.settings import ListenSettings
from tests.balancer.origins import OK, Connection, never_answers, origin, until
from tests.gateway import programs
from tests.gateway.runtime.gateways import (
    ask,
    eventually,
    gateway,
    in_flight,
    request,
    send_text,
    server_of,
    settings_text,
    wire,
)
from tests.servers import free_ports


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Queue:
    """A door and the requests before it: numbers, in the order in which they came."""

    def __init__(self, **listen: Any) -> None:
        self.clock = Clock()
        self.door: Door[int] = Door(ListenSettings(**listen), asyncio.get_running_loop(), self.clock)
        self.futures: list[asyncio.Future[int]] = []
        self.order: list[int] = []

    def come(self, count: int) -> None:
        for _ in range(count):
            future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            future.add_done_callback(self._let_in)
            self.door.let_in(future, len(self.futures))
            self.futures.append(future)

    @property
    def begun(self) -> int:
        return sum(future.done() for future in self.futures)

    def _let_in(self, future: "asyncio.Future[int]") -> None:
        if not future.cancelled():
            self.order.append(future.result())


async def test_few_requests_are_let_in_at_once() -> None:
    queue = Queue()
    queue.come(AT_EACH_TURN)
    assert (queue.begun, len(queue.door)) == (AT_EACH_TURN, 0)


async def test_of_many_so_many_begin_at_each_turn_in_the_order_they_came() -> None:
    queue = Queue()
    queue.come(2 * AT_EACH_TURN + 5)
    seen = [queue.begun]
    while len(queue.door):
        await asyncio.sleep(0)
        seen.append(queue.begun)
    assert seen == [AT_EACH_TURN, 2 * AT_EACH_TURN, 2 * AT_EACH_TURN + 5]
    await asyncio.sleep(0)
    assert queue.order == list(range(2 * AT_EACH_TURN + 5))


async def test_who_comes_while_others_wait_does_not_overtake_them() -> None:
    queue = Queue()
    queue.come(AT_EACH_TURN + 1)
    queue.come(1)
    await until(lambda: len(queue.order) == AT_EACH_TURN + 2)
    assert queue.order[-2:] == [AT_EACH_TURN, AT_EACH_TURN + 1]


async def test_who_has_gone_takes_nobodys_place() -> None:
    queue = Queue()
    queue.come(3 * AT_EACH_TURN)
    for gone in queue.futures[AT_EACH_TURN : 2 * AT_EACH_TURN]:
        gone.cancel()
    await asyncio.sleep(0)
    assert len(queue.door) == 0
    await asyncio.sleep(0)
    assert len(queue.order) == 2 * AT_EACH_TURN


async def test_a_door_that_is_idle_asks_nothing_of_the_loop() -> None:
    queue = Queue()
    queue.come(AT_EACH_TURN + 1)
    turns = 0
    while queue.door._turn_counted:
        await asyncio.sleep(0)
        turns += 1
        assert turns < 10


async def test_a_queue_is_full_by_the_pace_at_which_it_moves() -> None:
    queue = Queue(max_queue_s=0.1)
    queue.come(AT_EACH_TURN + int(FIRST_PACE * 0.5) + 1)
    assert not queue.door.has_room(), "more than a burst"
    # It turns out that it moves ten times as slowly as was thought.
    queue.clock.now += 0.1 + AT_EACH_TURN / 100
    await asyncio.sleep(0)
    waiting = len(queue.door)
    assert not queue.door.has_room()
    queue.clock.now += 10
    while len(queue.door) > 10:
        assert not queue.door.has_room()
        await asyncio.sleep(0)
        queue.clock.now += AT_EACH_TURN / 100
    assert waiting > 10
    assert queue.door.has_room()


async def test_so_many_in_flight_are_all() -> None:
    queue = Queue(max_in_flight=2)
    queue.door.in_flight = 1
    assert queue.door.has_room()
    queue.door.in_flight = 2
    assert not queue.door.has_room()
    queue.door.turned_away()
    assert queue.door.refused == 1


# A whole gateway


@asynccontextmanager
async def full_gateway() -> AsyncIterator[int]:
    """Its port, while the only request that it takes on waits for an instance."""
    async with (
        origin(never_answers) as there,
        gateway(there.instance, listen={"max_in_flight": 1}) as running,
    ):
        async with wire(running.port) as busy:
            await busy.say(request("GET", "/open/x"))
            await until(lambda: there.requests)
            yield running.port
            assert there.requests == 1, "none of the others got there"

        async def has_room() -> bool:
            return (await ask(running.port, "GET", "/ping")).status == 200

        await eventually(has_room)
        assert await in_flight(running.port) == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
async def test_who_is_too_many_is_told_when_to_come_back_and_may_stay(method: str) -> None:
    async with full_gateway() as port, wire(port) as client:
        for _ in range(3):
            await client.say(request(method, "/open/x", body=b"content" if method == "POST" else b""))
            answer = await client.answer(to_head=method == "HEAD")
            assert (answer.status, answer.one("Retry-After")) == (503, "1")
            assert not answer.all("Connection"), "it is kept"
            request_id = answer.one("X-Request-Id")
            assert len(request_id) == 32
            if method != "HEAD":
                said = answer.json()
                assert (said["reason"], said["request_id"]) == ("overloaded", request_id)
        metrics = (await ask(port, "GET", "/metrics")).body.decode()
        assert 'quaymaster_errors_total{reason="overloaded"} 3.0' in metrics


@pytest.mark.parametrize("target", ["/health/live", "/health/ready", "/metrics"])
async def test_who_watches_is_let_in_when_nobody_else_is(target: str) -> None:
    async with full_gateway() as port:
        assert (await ask(port, "GET", target)).status == 200


async def test_each_of_a_pipeline_is_refused_in_its_turn() -> None:
    async with full_gateway() as port, wire(port) as client:
        post, live = request("POST", "/b", body=b"x"), request("GET", "/health/live")
        await client.say(request("GET", "/a") + post + live + request("GET", "/c"))
        assert [(await client.answer()).status for _ in range(4)] == [503, 503, 200, 503]
        await client.say(request("GET", "/d", "Connection: close"))
        last = await client.answer()
        assert (last.status, last.one("Connection")) == (503, "close")
        assert await client.rest() == b""


async def test_what_is_no_request_is_still_told_so() -> None:
    async with full_gateway() as port, wire(port) as client:
        await client.say(b"nonsense\r\n\r\n")
        assert (await client.answer()).json()["reason"] == "bad_request"


async def holds_on(raw: ClientRequest) -> None:
    if raw.target == "/hold":
        await asyncio.Event().wait()
    send_text(raw, "ok")


@pytest.mark.parametrize("at_a_time", [1, 500])
async def test_who_takes_no_refusals_gets_no_more_of_them(at_a_time: int) -> None:
    """What is written and not taken would be the gateway's memory."""
    loop = asyncio.get_running_loop()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        async with server_of(holds_on, max_in_flight=1) as (server, port), wire(port) as busy:
            await busy.say(request("GET", "/hold"))
            await until(lambda: server.door.in_flight == 1)
            await loop.sock_connect(deaf, ("127.0.0.1", port))
            await until(lambda: len(server.connections) == 2)
            transports = [one.transport for one in server.connections if one.transport is not None]
            for transport in transports:
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            asks = request("GET", "/x") * at_a_time
            try:
                for _ in range(20_000 // at_a_time):
                    async with asyncio.timeout(0.5):
                        await loop.sock_sendall(deaf, asks)
                    # The server's turn, so that it finds each of them alone.
                    await asyncio.sleep(0)
            except TimeoutError:
                pass  # nothing is read of it any more
            assert server.door.refused > 100
            assert max(transport.get_write_buffer_size() for transport in transports) < 512 << 10


# A process, with three times as much to do as it may


SERVICE_S = 0.05


class TakesItsTime:
    """An instance's behaviour, and how many requests it was under at a time."""

    def __init__(self) -> None:
        self.under_way = 0
        self.most_at_a_time = 0

    async def __call__(self, connection: Connection) -> None:
        while await connection.request():
            self.under_way += 1
            self.most_at_a_time = max(self.most_at_a_time, self.under_way)
            try:
                await asyncio.sleep(SERVICE_S)
            finally:
                self.under_way -= 1
            await connection.say(OK)


class Crowd:
    """Clients that come back at once, whatever they were told."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.statuses: Counter[int] = Counter()
        self.live: Counter[int] = Counter()

    async def ask_on(self) -> None:
        async with wire(self._port) as client:
            while True:
                await client.say(request("GET", "/open/x"))
                self.statuses[(await client.answer()).status] += 1

    async def watch(self) -> None:
        while True:
            self.live[(await ask(self._port, "GET", "/health/live")).status] += 1
            await asyncio.sleep(0.02)


async def test_three_times_too_many_are_served_or_refused_and_it_is_as_before_afterwards(
    tmp_path: Path,
) -> None:
    (port,) = free_ports(1)
    instance = TakesItsTime()
    async with origin(instance) as there:
        file = tmp_path / "quaymaster.yaml"
        listen = {"port": port, "drain_s": 0, "max_in_flight": 20}
        file.write_text(settings_text(there.instance, listen=listen, limits={"per_address": None}))
        async with programs.serving(port, "serve", "--config", file) as process:
            crowd = Crowd(port)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(crowd.ask_on()) for _ in range(60)]
                tasks.append(group.create_task(crowd.watch()))
                enough = {200: 100, 503: 500}
                await until(lambda: crowd.statuses >= Counter(enough) and crowd.live[200] >= 5, within_s=20)
                for task in tasks:
                    task.cancel()
            assert set(crowd.statuses) == {200, 503}
            assert set(crowd.live) == {200}
            assert instance.most_at_a_time <= 20

            async def is_normal() -> bool:
                return [(await ask(port, "GET", "/open/x")).status for _ in range(10)] == [200] * 10

            await eventually(is_normal)
            process.send_signal(signal.SIGTERM)
            ran = await programs.ended(process)
        assert ran.code == 0
        assert ran.err.count('"event":"overloaded"') <= 1, "one line, and not one for each"
