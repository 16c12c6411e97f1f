"""A long day of a route with a cache: whatever came before, each answer is right."""

import json
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.caches import CACHES, load_cache
from tests.balancer.origins import Connection, origin
from tests.gateway.runtime.cached_routes import Stage, response, stage
from tests.gateway.runtime.gateways import RawAnswer, request, said, wire
from tests.servers import forget_all, patient

MIB = 1 << 20
STEPS = 400
STALE_S = 30
CONTROLS = [
    "max-age=20",
    "max-age=20, public",
    "s-maxage=15",
    "max-age=10, must-revalidate",
    "max-age=20, stale-if-error=0",
    "no-cache",
    "no-store",
    "private, max-age=20",
    "",
]
WANTED = ["", "", "", "Cache-Control: no-cache", "Cache-Control: max-age=5", "Cache-Control: only-if-cached"]
CALLERS = [(), (), ("Authorization: Basic ada",), ("Authorization: Basic bob",), ("Cookie: session=1",)]


@dataclass
class Application:
    """Answers with all that it went by, as things are now."""

    rng: random.Random
    here: Stage = field(default_factory=Stage)
    versions: dict[str, int] = field(default_factory=dict)
    fails: bool = False

    async def serve(self, connection: Connection) -> None:
        while True:
            head = await connection.request()
            await connection.say(self.answer(head))

    def answer(self, head: bytes) -> bytes:
        method, path, _ = head.decode().split(" ", 2)
        if self.fails:
            return response("fails", status="503 Fails")
        if method == "POST":
            self.versions[path] = self.versions.get(path, 0) + 1
            return response("changed")
        language = "".join(said(head, "Accept-Language"))
        caller = "".join(said(head, "Authorization") + said(head, "Cookie"))
        version, control = self.versions.get(path, 0), self.rng.choice(CONTROLS)
        etag = f'"{version}-{language}-{caller}"'
        headers = [f"Date: {self.here.date}", "Vary: Accept-Language", f"ETag: {etag}"]
        headers += [f"Cache-Control: {control}"] if control else []
        if etag in said(head, "If-None-Match"):
            return response(b"", *headers, status="304 Not Modified")
        told = {"path": path, "language": language, "caller": caller, "version": version, "control": control}
        return response(json.dumps(told), *headers)


@pytest.mark.parametrize("backend", CACHES)
async def test_every_answer_is_right(
    backend: str, rng: random.Random, request: pytest.FixtureRequest
) -> None:
    url = ""
    if backend == "redis":
        forget_all(request.getfixturevalue("redis_url"))
        url = patient(request.getfixturevalue("redis_url"))
    application = Application(rng)
    async with (
        load_cache(backend)(url, MIB) as cache,
        origin(application.serve) as there,
        stage(there.instance, cache=cache, retry="never", kept={"stale_if_error_s": STALE_S}) as here,
    ):
        application.here = here
        for _ in range(STEPS):
            await step(application, here, rng)
        results = {result for _, result in here.counted}
        assert results == {"hit", "miss", "stale"}
        hits = sum(result == "hit" for _, result in here.counted)
        assert STEPS / 20 < hits < STEPS, "else there was nothing to see"


async def step(application: Application, here: Stage, rng: random.Random) -> None:
    path = f"/open/{rng.randrange(3)}"
    match rng.randrange(10):
        case 0:
            await here.get(path, method="POST", body=b"x")
        case 1:
            here.now += rng.choice([1, 6, 11, 40])
        case 2:
            application.fails = rng.random() < 0.3
        case _:
            language, caller, wanted = rng.choice(["de", "en"]), rng.choice(CALLERS), rng.choice(WANTED)
            headers = (f"Accept-Language: {language}", *caller, *([wanted] if wanted else []))
            check(application, path, language, caller, wanted, await ask(here, path, *headers))


async def ask(here: Stage, path: str, *headers: str) -> RawAnswer:
    async with wire(here.port) as client:
        await client.say(request("GET", path, *headers))
        return await client.answer()


def check(
    application: Application, path: str, language: str, caller: tuple[str, ...], wanted: str, got: RawAnswer
) -> None:
    status = got.one("Cache-Status")
    if got.status != 200:
        assert (got.status == 503 and application.fails) or (got.status == 504 and "only-if-cached" in wanted)
        return
    told: dict[str, Any] = got.json()
    own = caller[0].split(": ", 1)[1] if caller else ""
    control, age_s = told["control"], int((got.all("Age") or ["0"])[0])
    assert (told["path"], told["language"]) == (path, language)
    assert told["version"] == application.versions.get(path, 0), "changes are seen at once"
    if told["caller"] != own:
        assert "hit" in status or "fwd=stale" in status
        assert "private" not in control
        assert "no-store" not in control
        if "Basic" in told["caller"]:
            assert any(word in control for word in ("public", "s-maxage", "must-revalidate"))
    if "hit" in status:
        assert 0 <= age_s < 20
        assert "no-cache" not in wanted
        assert "max-age=5" not in wanted or age_s <= 5
    if "detail=" in status or "fwd-status=503" in status:
        assert application.fails
        assert age_s <= 20 + STALE_S
    assert "only-if-cached" not in wanted or "hit" in status
