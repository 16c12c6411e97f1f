"""What `/openapi.json` says of the gateway's own endpoints is true: schemathesis asks what may be asked, and
sends bodies that may not be sent.

The same by hand, for longer: `schemathesis run http://127.0.0.1:8000/openapi.json`.
"""

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.gateway.runtime.gateways import ask, gateway, token

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

EACH = 2
"""Examples of an operation, each way."""
LEFT_OUT = {("put", "/admin/logging")}
"""Tells the whole process how much to log, other tests included."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
POOL = {"service": "auth", "secret": "a secret of the handlers' tests, long enough"}
SETTINGS: dict[str, Any] = {
    "handlers": POOL,
    "limits": {"per_address": None, "per_user": None},
    "routes": [
        {
            "path": "/hello",
            "access": "public",
            "methods": ["GET"],
            "respond": {"status": 200, "body": '{"hello": "world"}'},
        },
        {
            "path": "/blog/{name}",
            "access": "public",
            "methods": ["GET"],
            "redirect": {"to": "https://blog.example.org/{name}"},
        },
    ],
}


async def test_no_answer_is_a_500_or_one_that_nobody_has_described() -> None:
    async with gateway(**SETTINGS) as running:
        document = (await ask(running.port, "GET", "/openapi.json")).json()
        asked = await asyncio.to_thread(ask_everything, document, running.port)
        assert asked == sum(map(len, document["paths"].values()))


async def test_a_lie_is_found() -> None:
    async with gateway(**SETTINGS) as running:
        document = (await ask(running.port, "GET", "/openapi.json")).json()
        ping = document["paths"]["/ping"]
        del ping["get"]["responses"]["200"]
        with pytest.raises(FailureGroup, match="Undocumented status code"):
            await asyncio.to_thread(ask_everything, document | {"paths": {"/ping": ping}}, running.port)


def ask_everything(document: dict[str, Any], port: int) -> int:
    """Asks every operation, and says how many there were. Raises what a check finds, with the way to it."""
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=f"http://127.0.0.1:{port}")
    schema.config.phases.update(phases=["fuzzing"])
    asked = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if (operation.method, operation.path) not in LEFT_OUT:
            _ask(operation, GenerationMode.POSITIVE)
            if operation.body:
                _ask(operation, GenerationMode.NEGATIVE)
        asked += 1
    return asked


def _ask(operation: Any, mode: GenerationMode) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @examples(max_examples=EACH, database=None, suppress_health_check=list(HealthCheck))
    def ask_one(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {token()}"}, checks=CHECKS, timeout=10)

    ask_one()
