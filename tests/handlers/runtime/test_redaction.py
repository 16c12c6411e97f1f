import logging

import pytest
from aiohttp import web
from aiohttp.pytest_plugin import AiohttpClient

from handlers.runtime.redaction import hide_ticket, tickets_unlogged

CANARY = "eyJhbGciOi.canary.c2ln"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (f"GET /ws?ticket={CANARY} HTTP/1.1", "GET /ws?ticket=hidden HTTP/1.1"),
        (f'"GET /ws?a=1&ticket={CANARY}&b=2 HTTP/1.1"', '"GET /ws?a=1&ticket=hidden&b=2 HTTP/1.1"'),
        ("GET /ws HTTP/1.1", "GET /ws HTTP/1.1"),
    ],
)
def test_the_ticket_is_hidden_and_nothing_else(line: str, shown: str) -> None:
    record = logging.LogRecord("aiohttp.access", logging.INFO, "", 0, line, None, None)
    vars(record)["first_request_line"] = line
    assert hide_ticket(record)
    assert record.getMessage() == vars(record)["first_request_line"] == shown


async def test_aiohttps_access_log_shows_no_ticket(
    aiohttp_client: AiohttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aiohttp.access")
    client = await aiohttp_client(web.Application())
    with tickets_unlogged():
        await client.get("/ws", params={"ticket": CANARY})
        await client.close()
    assert "ticket=hidden" in caplog.text
    assert CANARY not in caplog.text
    assert not any(CANARY in str(vars(record)) for record in caplog.records)
    assert hide_ticket not in logging.getLogger("aiohttp.access").filters
