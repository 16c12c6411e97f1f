"""More of the log, or less, of a gateway that runs."""

import logging
from collections.abc import Iterator

import pytest
import structlog.testing

from tests.gateway.runtime.gateways import KEY, RawAnswer, ask, gateway

AS_STARTED = {"level": "error", "sample": 1.0, "access": True, "slow_s": 1.0}


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


async def put(port: int, body: bytes) -> RawAnswer:
    return await ask(port, "PUT", "/admin/logging", body=body)


async def test_what_is_logged_can_be_changed_and_is_told() -> None:
    async with gateway() as running:
        first = await ask(running.port, "GET", "/admin/logging")
        assert (first.status, first.json()) == (200, AS_STARTED)
        changed = await put(running.port, b'{"level": "debug", "sample": 0.5}')
        assert (changed.status, changed.json()) == (200, {**AS_STARTED, "level": "debug", "sample": 0.5})
        less = await put(running.port, b'{"level": "warning"}')
        assert less.json() == {**AS_STARTED, "level": "warning", "sample": 0.5}, "the share stays"
        assert (await ask(running.port, "GET", "/admin/logging")).json() == less.json()
        rarer = await put(running.port, b'{"sample": 0.25}')
        assert rarer.json() == {**AS_STARTED, "level": "warning", "sample": 0.25}, "the level stays"


async def test_the_log_says_what_has_changed() -> None:
    async with gateway() as running:
        with structlog.testing.capture_logs() as lines:
            await put(running.port, b'{"level": "debug"}')
    changed = [line for line in lines if line["event"] == "logging_changed"]
    assert [(line["before"], line["to"], line["log_level"]) for line in changed] == [
        ("error", "debug", "warning")
    ]
    assert "level" not in changed[0], "that is what a line says of itself"


async def test_the_change_holds_from_the_next_request_on(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    async with gateway() as running:
        await ask(running.port, "GET", "/before")
        await put(running.port, b'{"level": "info"}')
        await ask(running.port, "GET", "/between")
        await put(running.port, b'{"level": "error"}')
        await ask(running.port, "GET", "/after")
    written = capfdbinary.readouterr().out
    assert b"/between" in written
    assert b"/before" not in written
    assert b"/after" not in written


async def test_a_reload_sets_what_the_settings_say() -> None:
    async with gateway() as running:
        await put(running.port, b'{"level": "debug", "sample": 0.5}')
        await running.follow(running._settings)
        assert (await ask(running.port, "GET", "/admin/logging")).json() == AS_STARTED


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "bad_parameter"),
        (b"{", "bad_json"),
        (b"{}", "bad_parameter"),
        (b'{"level": "info", "sampel": 0.1}', "bad_parameter"),
        (b'{"level": "loud"}', "bad_parameter"),
        (b'{"level": "info", "sample": 2}', "bad_parameter"),
        (b'{"level": "info", "sample": "nan"}', "bad_parameter"),
    ],
)
async def test_what_makes_no_sense_changes_nothing(body: bytes, reason: str) -> None:
    async with gateway() as running:
        refused = await put(running.port, body)
        assert (refused.status, refused.json()["reason"]) == (400, reason)
        assert (await ask(running.port, "GET", "/admin/logging")).json() == AS_STARTED


async def test_it_is_internal() -> None:
    async with gateway(internal={"networks": [], "key": KEY}) as running:
        assert (await put(running.port, b'{"level": "debug"}')).status == 403
        with_key = await ask(running.port, "GET", "/admin/logging", f"X-Internal-Key: {KEY}")
        assert with_key.json() == AS_STARTED
