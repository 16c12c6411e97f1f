"""`/openapi.json` and the page that shows it."""

import asyncio
import json
import re
from typing import Any

import pytest

from gateway.runtime.endpoints.api_docs import FILES, PAGE
from tests.balancer.origins import answers, origin
from tests.gateway.openapi_judge import problems
from tests.gateway.runtime.gateways import (
    KEY,
    ask,
    eventually,
    gateway,
    request,
    settings_of,
    until_idle,
    wire,
)

ELSEWHERE = {"networks": ["10.0.0.0/8"], "key": KEY}
HANDLERS = {"service": "auth", "secret": "a secret of the handlers' tests, long enough", "expose": "tunnel"}


async def document(port: int, *headers: str) -> dict[str, Any]:
    answer = await ask(port, "GET", "/openapi.json", *headers)
    assert (answer.status, answer.one("Content-Type")) == (200, "application/json")
    found: dict[str, Any] = answer.json()
    return found


async def test_the_document_is_valid_and_describes_every_endpoint_in_its_owners_words() -> None:
    async with gateway(handlers=HANDLERS, health={"aliases": ["/api/health/"]}) as running:
        found = await document(running.port)
        assert problems(found) == []
        assert {"/ping", "/api/health/", "/open/{path}", "/mine/{path}", "/inside/{path}"} <= set(
            found["paths"]
        )
        unsaid = [
            path
            for path, item in found["paths"].items()
            if any(op["summary"] == "Of the gateway itself" for op in item.values())
        ]
        assert unsaid == []


async def test_only_internal_callers_are_told_what_is_internal() -> None:
    async with gateway(internal=ELSEWHERE) as running:
        public = await document(running.port)
        whole = await document(running.port, f"X-Internal-Key: {KEY}")
        assert not {"/metrics", "/inside/{path}"} & set(public["paths"])
        assert {"/metrics", "/inside/{path}"} <= set(whole["paths"])
        assert (await ask(running.port, "GET", "/openapi.json")).one("Vary") == "X-Internal-Key"


async def test_what_a_service_says_of_itself_is_part_of_it_without_anybody_waiting() -> None:
    said = {"openapi": "3.0.0", "paths": {"/open/ships": {"get": {"responses": {}, "summary": "Ships"}}}}
    text = json.dumps(said).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text)
    async with origin(answers(head + text)) as there:
        urls = [f"http://127.0.0.1:{there.instance.port}"]
        services = {"auth": {"instances": urls, "openapi": "/openapi.json"}}
        async with gateway(services=services) as running:

            async def is_told() -> bool:
                return "/open/ships" in (await document(running.port))["paths"]

            await eventually(is_told)
            found = await document(running.port)
            assert problems(found) == []
            assert found["paths"]["/open/ships"]["get"]["summary"] == "Ships"
            assert there.requests == 1


async def test_new_settings_are_a_new_description() -> None:
    async with gateway() as running:
        before = await ask(running.port, "GET", "/openapi.json")
        await running.follow(settings_of(docs={"title": "Other"}))
        after = await ask(running.port, "GET", "/openapi.json", f"If-None-Match: {before.one('ETag')}")
        assert (after.status, after.json()["info"]["title"]) == (200, "Other")


async def test_who_has_it_gets_nothing_again() -> None:
    async with gateway() as running:
        for path in ("/openapi.json", "/docs", *(f"/docs/{name}" for name in FILES)):
            whole = await ask(running.port, "GET", path)
            assert (whole.status, len(whole.body) > 0) == (200, True)
            again = await ask(running.port, "GET", path, f"If-None-Match: {whole.one('ETag')}")
            assert (again.status, again.body) == (304, b"")
            head = await ask(running.port, "HEAD", path)
            assert head.one("Content-Length") == str(len(whole.body))


async def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing_inline() -> None:
    async with gateway() as running:
        page = await ask(running.port, "GET", "/docs")
        policy = page.one("Content-Security-Policy")
        assert "unsafe" not in policy
        assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(
            policy.split("; ")
        )
        html = page.body.decode()
        links = re.findall(r'(?:src|href)="([^"]*)"', html)
        assert {link for link in links if link.startswith("docs/")} == {f"docs/{name}" for name in FILES}
        assert not [link for link in links if "//" in link or link.startswith("/")]
        assert not re.search(r"<script>|<style|style=|onload=", html)


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/docs/start.js", "/openapi.json"])
async def test_headers_that_keep_others_out_are_on_all_of_it(path: str) -> None:
    async with gateway() as running:
        answer = await ask(running.port, "GET", path)
        assert answer.one("X-Content-Type-Options") == "nosniff"
        assert answer.one("Cross-Origin-Resource-Policy") == "same-origin"


async def test_a_slash_too_many_leads_back_behind_whatever_prefix() -> None:
    async with gateway() as running:
        answer = await ask(running.port, "GET", "/docs/")
        assert (answer.status, answer.one("Location")) == (308, "../docs")


@pytest.mark.parametrize("name", ["LICENSE", "swagger-ui-dist/NOTICE", "index.html", "a"])
async def test_nothing_else_is_served_from_the_folder(name: str) -> None:
    async with gateway() as running:
        assert (await ask(running.port, "GET", f"/docs/{name}")).json()["reason"] == "no_route"


async def test_a_reader_that_takes_nothing_costs_a_piece_and_not_a_copy() -> None:
    async with gateway() as running:
        async with wire(running.port) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of both directions
            await client.say(request("GET", "/docs/swagger-ui-bundle.js"))
            await asyncio.sleep(0)
            async with wire(running.port) as other:
                await other.say(request("GET", "/docs/swagger-ui-bundle.js"))
                whole = await other.answer()
            assert whole.body == (PAGE / "swagger-ui-dist" / "swagger-ui-bundle.js").read_bytes()
        await until_idle(running.port)


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/docs/start.js"])
async def test_without_docs_there_is_nothing_there(path: str) -> None:
    async with gateway(docs={"enabled": False}) as running:
        assert (await ask(running.port, "GET", path)).json()["reason"] == "no_route"


async def test_they_can_be_for_internal_callers_only() -> None:
    async with gateway(docs={"access": "internal"}, internal=ELSEWHERE) as running:
        assert (await ask(running.port, "GET", "/docs")).status == 403
        assert (await ask(running.port, "GET", "/openapi.json")).status == 403
        found = await document(running.port, f"X-Internal-Key: {KEY}")
        assert "/metrics" in found["paths"]


def test_the_licence_travels_with_the_page() -> None:
    folder = PAGE / "swagger-ui-dist"
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert {"NOTICE", "swagger-ui-bundle.js.LICENSE.txt"} <= {path.name for path in folder.iterdir()}
