import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from registry.agent.checks import Prober, Threshold
from registry.agent.definitions import CheckDefinition
from tests.registry.waiting import until
from tests.servers import free_ports

Seen = dict[str, tuple[str, str]]


@asynccontextmanager
async def probing(seen: Seen, at_once: int = 16) -> AsyncIterator[Prober]:
    async def observed(group: asyncio.TaskGroup) -> Prober:
        return Prober(
            group,
            lambda id, status, output: seen.update({id: (status, output)}),
            min_interval_s=0.01,
            at_once=at_once,
            rng=Random(1),
        )

    async with asyncio.TaskGroup() as group, await observed(group) as prober:
        yield prober


@pytest.fixture
async def target() -> AsyncIterator["Target"]:
    target = Target()
    async with TestServer(target.app) as server:
        target.base = str(server.make_url("")).rstrip("/")
        yield target
        target.let_go.set()


class Target:
    """A service whose answers a test chooses."""

    def __init__(self) -> None:
        self.base = ""
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.let_go = asyncio.Event()
        self.app = web.Application()
        self.app.router.add_route("*", "/status/{code}", self.with_status)
        self.app.router.add_get("/hangs", self.hangs)
        self.app.router.add_get("/drips", self.drips)
        self.app.router.add_get("/big", self.big)

    async def with_status(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.path_qs, dict(request.headers), await request.read()))
        return web.Response(
            status=int(request.match_info["code"]),
            text="body",
            headers={"Location": "/status/200?redirected"},
        )

    async def hangs(self, _request: web.Request) -> web.Response:
        await self.let_go.wait()
        return web.Response()

    async def drips(self, request: web.Request) -> web.StreamResponse:
        """Starts to answer, and never ends."""
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        await self.let_go.wait()
        return response

    async def big(self, _request: web.Request) -> web.Response:
        return web.Response(text="b" * 1_000_000)


def http(id: str, url: str, **fields: Any) -> CheckDefinition:
    return CheckDefinition(id, id, "http", target=url, interval_s=0.02, **{"timeout_s": 5.0, **fields})


def tcp(id: str, address: str) -> CheckDefinition:
    return CheckDefinition(id, id, "tcp", target=address, interval_s=0.02, timeout_s=5.0)


async def verdicts(*checks: CheckDefinition) -> Seen:
    seen: Seen = {}
    async with probing(seen) as prober:
        for check in checks:
            prober.watch(check)
        await until(lambda: len(seen) == len(checks))
    return seen


async def test_the_status_decides(target: Target) -> None:
    url = target.base + "/status/"
    codes = {200: "passing", 204: "passing", 299: "passing", 429: "warning", 302: "critical", 404: "critical"}
    seen = await verdicts(*(http(str(code), url + str(code)) for code in codes))
    assert {int(id): status for id, (status, _) in seen.items()} == codes
    assert seen["404"][1] == f"HTTP GET {url}404: 404 Not Found Output: body"


async def test_no_redirect_is_followed(target: Target) -> None:
    await verdicts(http("c", target.base + "/status/302"))
    assert all("redirected" not in path for _, path, _, _ in target.requests)


async def test_the_request_is_the_one_that_was_registered(target: Target) -> None:
    await verdicts(
        http(
            "c",
            target.base + "/status/200?a=b",
            method="POST",
            headers={"X-A": ("1",), "Host": ("h",)},
            body="b",
        )
    )
    method, path, headers, body = target.requests[0]
    assert (method, path, body) == ("POST", "/status/200?a=b", b"b")
    assert (headers["X-A"], headers["Host"], headers["User-Agent"]) == ("1", "h", "Consul Health Check")


async def test_a_big_answer_is_cut(target: Target) -> None:
    (output,) = [output for _, output in (await verdicts(http("c", target.base + "/big"))).values()]
    assert output.count("b") >= 4096
    assert len(output) < 4300


@pytest.mark.parametrize("path", ["/hangs", "/drips"])
async def test_a_service_that_does_not_finish_is_critical(target: Target, path: str) -> None:
    seen = await verdicts(http("c", target.base + path, timeout_s=0.05))
    assert seen["c"][0] == "critical"
    assert "deadline exceeded" in seen["c"][1]


async def test_a_slow_check_delays_nobody(target: Target) -> None:
    seen: Seen = {}
    looked = 0

    def count() -> bool:
        nonlocal looked
        looked = len(target.requests)
        return looked >= 5

    async with probing(seen) as prober:
        for n in range(5):
            prober.watch(http(f"slow-{n}", target.base + "/hangs", timeout_s=30))
        prober.watch(http("quick", target.base + "/status/200"))
        await until(count)
    assert set(seen) == {"quick"}


async def test_no_more_than_allowed_look_at_once(target: Target) -> None:
    seen: Seen = {}
    async with probing(seen, at_once=1) as prober:
        prober.watch(http("slow", target.base + "/hangs", timeout_s=0.05))
        prober.watch(http("quick", target.base + "/status/200"))
        await until(lambda: len(seen) == 2)


async def test_nobody_listens() -> None:
    (port,) = free_ports(1)
    seen = await verdicts(
        http("http", f"http://127.0.0.1:{port}/"),
        tcp("tcp", f"127.0.0.1:{port}"),
    )
    refused = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert seen["tcp"] == ("critical", refused)
    assert seen["http"] == ("critical", f'Get "http://127.0.0.1:{port}/": {refused}')


async def test_a_port_that_accepts_passes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert await verdicts(tcp("c", address)) == {"c": ("passing", f"TCP connect {address}: Success")}


@pytest.mark.parametrize(
    ("check", "output"),
    [
        (http("c", "ftp://127.0.0.1:1/"), 'Get "ftp://127.0.0.1:1/": unsupported protocol scheme "ftp"'),
        (http("c", "file:///etc/passwd"), 'unsupported protocol scheme "file"'),
        (http("c", "not a url"), 'unsupported protocol scheme ""'),
        (http("c", "http://"), 'Get "http://": '),
        (http("c", "http://[::1/"), "Get "),
        (http("c", "http://127.0.0.1:99999/"), "Get "),
        (http("c", "http://127.0.0.1:1/", method="G T"), "Get "),
        (http("c", "http://127.0.0.1:1/", headers={"X": ("a\r\nb",)}), "Get "),
        (tcp("c", "nonsense"), "dial tcp: address nonsense: missing port in address"),
        (tcp("c", "a:b:c"), "is no address"),
    ],
)
async def test_what_cannot_be_asked_is_critical_and_says_why(check: CheckDefinition, output: str) -> None:
    seen = await verdicts(check)
    assert seen["c"][0] == "critical"
    assert output in seen["c"][1]


async def test_a_password_in_the_url_is_not_shown(target: Target) -> None:
    url = target.base.replace("http://", "http://user:hidden@") + "/status/200"
    seen = await verdicts(http("ok", url), http("no", "http://user:hidden@127.0.0.1:1/"))
    assert "Authorization" in target.requests[0][2]
    assert "hidden" not in str(seen)


async def test_what_is_forgotten_is_asked_no_more(target: Target) -> None:
    seen: Seen = {}
    async with probing(seen) as prober:
        prober.watch(http("gone", target.base + "/status/200?gone"))
        prober.watch(http("stays", target.base + "/status/200?stays"))
        await until(lambda: len(seen) == 2)
        prober.forget("gone")
        target.requests.clear()
        await until(lambda: len(target.requests) >= 3)
        assert {path for _, path, _, _ in target.requests} == {"/status/200?stays"}


async def test_a_changed_check_is_asked_anew_and_an_equal_one_goes_on(target: Target) -> None:
    seen: Seen = {}
    async with probing(seen) as prober:
        prober.watch(http("c", target.base + "/hangs", timeout_s=0.05))
        await until(lambda: "c" in seen)
        prober.watch(http("c", target.base + "/status/200"))
        await until(lambda: seen["c"][0] == "passing")
        task = prober._tasks["c"][1]
        prober.watch(http("c", target.base + "/status/200"))
        assert prober._tasks["c"][1] is task
        assert repr(prober) == "<Prober: 1 checks>"


async def test_other_kinds_are_not_looked_at() -> None:
    seen: Seen = {}
    async with probing(seen) as prober:
        prober.watch(CheckDefinition("t", "t", "ttl", ttl_s=1))
        assert repr(prober) == "<Prober: 0 checks>"


async def test_a_lack_of_sockets_here_is_no_news_of_a_service(target: Target) -> None:
    seen: Seen = {}
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    with capture_logs() as logs:
        async with probing(seen) as prober:
            lowest_free = os.dup(0)
            os.close(lowest_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, allowed[1]))
            try:
                prober.watch(http("http", target.base + "/status/200"))
                prober.watch(tcp("tcp", target.base.removeprefix("http://")))
                await until(lambda: {"http", "tcp"} <= {entry.get("check") for entry in logs})
                assert seen == {}
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
            await until(lambda: len(seen) == 2)
    assert {status for status, _ in seen.values()} == {"passing"}
    assert {entry["event"] for entry in logs} == {"check_not_made"}


@pytest.mark.parametrize(
    ("head", "status", "said"),
    [
        (b"HTTP/1.1 200 pr\xeat\r\n", "passing", "200 pr?t Output: "),
        (b"HTTP/1.1 pr\xeat\r\n", "critical", ""),
        (b"pr\xeat\r\n", "critical", ""),
        (b"HTTP/1.1 200 OK\r\npr\xeat: \xea\r\n", "critical", ""),
    ],
    ids=["reason", "status line", "no http", "header"],
)
async def test_an_answer_that_is_no_utf8_gives_an_output_that_is(head: bytes, status: str, said: str) -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + b"Content-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answers, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        seen = await verdicts(http("c", f"http://{host}:{port}/"))
    assert seen["c"][0] == status
    assert said in seen["c"][1]
    assert seen["c"][1].encode().decode() == seen["c"][1]


async def test_a_bug_in_one_look_stops_no_check() -> None:
    seen = await verdicts(http("c", "http://127.0.0.1:1/", body=None))  # not what the type says
    assert seen["c"] == ("critical", 'Get "http://127.0.0.1:1/": the agent failed to look: AttributeError')


@pytest.mark.parametrize(
    ("success", "failures", "looks", "counted"),
    [
        (0, 0, "pfp", "pfp"),
        (1, 1, "pf", "pf"),
        (2, 0, "ppfpp", "-pf-p"),
        (0, 3, "fffpff", "--fp--"),
        (2, 2, "pfpf", "----"),
    ],
)
def test_a_threshold_needs_so_many_in_a_row(success: int, failures: int, looks: str, counted: str) -> None:
    threshold = Threshold(
        CheckDefinition("c", "c", "http", success_before_passing=success, failures_before_critical=failures)
    )
    names = {"p": "passing", "f": "critical"}
    assert "".join(one if threshold.passes(names[one]) else "-" for one in looks) == counted
