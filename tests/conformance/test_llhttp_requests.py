"""llhttp's own request fixtures through the gateway, judged by h11, and by RFC 9112 where h11 is lenient."""

import re

import pytest

from tests.conformance.external import LlhttpCase, llhttp_cases
from tests.conformance.gateways import open_gateway
from tests.conformance.judge import judge
from tests.conformance.oracle import requests_in
from tests.conformance.recorder import recorder
from tests.conformance.talk import SILENCE_S, WITHIN_S, converse

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

AFTER_CLOSE = {
    "No restart when keep-alive is off (1.0)",
    "Resetting flags when keep-alive is off (1.0, lenient)",
    "CRLF between requests, explicit `close`",
    "CRLF between requests, explicit `close` followed by tab",
    "CRLF between requests, explicit `close` (lenient)",
}
"""Something follows a request that ends the connection."""

METHOD_REFUSED = [
    "REPORT request",
    "PURGE request",
    "SEARCH request",
    "LINK request",
    "SOURCE request",
    "QUERY request",
    "CONNECT request",
    "CONNECT request with CAPS",
    "CONNECT with body",
    "Underscore in hostname",
]
TARGET_OR_HOST_REFUSED = [
    "curl GET",
    "Firefox GET",
    "Fragment in URI",
    "Host terminated by a query string",
    "`host:port` terminated by a query string",
    "`host:port` terminated by a space",
    "`host:port` and basic auth",
    "M-SEARCH request",
    "PRI request HTTP2",
]
CODING_REFUSED = [
    "POST with `chunked` as last transfer-encoding",
    "POST with `chunked` as last transfer-encoding (multiple headers)",
]
"""h11 can't read these: it knows no coding but `chunked`, which is the last one here."""

OTHER_PROTOCOL = ["SOURCE request with ICE", "OPTIONS request with RTSP", "ANNOUNCE request with RTSP"]

NOT_CARRIED = {
    **{title: {405} for title in METHOD_REFUSED},
    **{title: {400} for title in TARGET_OR_HOST_REFUSED},
    **{title: {400, 501} for title in CODING_REFUSED},
    **{title: {505} for title in OTHER_PROTOCOL},
    "No HTTP version": {400, 505},
}
"""llhttp takes these, and this gateway does not."""

OBSOLETE_HANDSHAKE = "Upgrade GET request"
"""`Sec-WebSocket-Key1` is of a draft of 2010: it is carried without its upgrade, or refused."""


def with_host(raw: bytes) -> bytes:
    """Most fixtures have none, which alone would have them refused."""
    if b"\r\nhost:" in raw.lower():
        return raw
    return re.sub(rb"(^|\r\n)([A-Z-]+ [^\r\n ]+ HTTP/1\.1\r\n)", rb"\1\2Host: a\r\n", raw)


def cases() -> list[object]:
    return [pytest.param(case, id=str(case)) for case in llhttp_cases("request")]


def is_refused(case: LlhttpCase) -> bool:
    """Malformed to llhttp, or only taken by it where it is told to be lenient.

    Its `Pause` is no error: it stops reading at an upgrade.
    """
    broken = case.error is not None and "Pause on" not in case.error
    return (broken or case.lenient) and case.title not in AFTER_CLOSE


@pytest.mark.parametrize("case", cases())
async def test_a_request_is_read_as_others_read_it_or_refused(case: LlhttpCase) -> None:
    raw = with_host(case.raw)
    reading = requests_in(raw, generous=True)
    waits = not reading.whole and reading.problem is None and not is_refused(case)
    method = b"HEAD" if raw.startswith(b"HEAD ") else b"GET"
    silence_s = SILENCE_S if waits else WITHIN_S
    async with recorder() as kept, open_gateway(kept.instance) as running:
        client, said = await converse(running.port, [raw], [method], silence_s=silence_s)
        if case.title not in CODING_REFUSED:
            judge(client, said, kept)
        statuses = [answer.status for answer in client.answers]
        if is_refused(case):
            assert client.closed
            assert statuses[-1] in {400, 405, 431, 501, 505}
            assert statuses[:-1] == [200] * len(kept.requests())
        elif case.title in AFTER_CLOSE:
            assert client.closed
            assert statuses == [200]
        elif case.title == OBSOLETE_HANDSHAKE:
            assert statuses[0] in (200, 400)
        elif case.title in NOT_CARRIED:
            assert statuses[0] in NOT_CARRIED[case.title]
            assert all(request.target == b"/probe" for request in kept.requests())
        elif waits:
            assert statuses == []
        else:
            assert statuses[0] in (200, 204)
            assert kept.requests()[: len(reading.whole)] != []
            assert [request.message for request in kept.requests()][: len(reading.whole)] == reading.messages
