"""llhttp's own answer fixtures, said by an instance: the client gets that answer, or a 502, or sees it cut.

In every case the next request on the client's connection gets its own answer, and never a byte of this.
"""

from dataclasses import dataclass, field

import pytest

from tests.balancer.origins import Connection, origin, until
from tests.conformance.external import LlhttpCase, llhttp_cases
from tests.conformance.gateways import open_gateway
from tests.conformance.oracle import answers_in, head_problem
from tests.conformance.talk import converse

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

PROBED = b'HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Saw: [0, "GET", "/probe"]\r\n\r\nprobed'

EITHER = {
    "HTTP/1.1 with keep-alive disabled and 204 status": 204,
    "HTTP/1.1 with keep-alive disabled, content-length (lenient)": 200,
    "HTTP/1.1 with keep-alive disabled, content-length": 200,
    "HTTP/1.1 with keep-alive disabled and 204 status (lenient)": 204,
    "HTTP 100 first, then 400": 404,
    "Response starting with CRLF": 200,
    "HTTP version 0.9": 200,
}
"""May be passed on or refused: more bytes after an answer that ends its connection, empty lines before a
status line, and a version that only its line break tells from 1.0."""


@dataclass(slots=True)
class Says:
    """Says the fixture to the first request, and a good answer to the probe."""

    raw: bytes
    then_closes: bool
    ended: list[bool] = field(default_factory=list)
    """Of each connection that the fixture was said on: whether the gateway closed it."""
    reused: bool = False
    """The probe came on a connection that the fixture was said on."""

    async def __call__(self, connection: Connection) -> None:
        tainted = False
        while True:
            try:
                head = await connection.request()
            except EOFError:
                if tainted:
                    self.ended.append(True)
                raise
            if b"/probe" in head:
                self.reused = self.reused or tainted
                await connection.say(PROBED)
                continue
            tainted = True
            await connection.say(self.raw)
            if self.then_closes:
                return


def is_refused(case: LlhttpCase) -> bool:
    """Malformed to llhttp or to h11, or only taken where a parser is told to be lenient."""
    reading = answers_in(case.raw, closed=True)
    if case.error is not None or case.lenient:
        return True
    return not reading.whole and not f"{reading.problem}".startswith("peer")


def has_a_fine_head(case: LlhttpCase) -> bool:
    """Then only the body is at fault, and may have begun when that shows."""
    head, end, _ = case.raw.partition(b"\r\n\r\n")
    return answers_in(head + end).problem is None and head_problem(head + end) is None


@pytest.mark.parametrize("case", llhttp_cases("response"), ids=str)
async def test_an_answer_is_passed_on_as_it_was_meant_or_not_at_all(case: LlhttpCase) -> None:
    reading = answers_in(case.raw, closed=True)
    wanted = reading.whole[0] if reading.whole else None
    refused = is_refused(case) and case.title not in EITHER
    ends_itself = wanted is not None and answers_in(case.raw).whole[:1] == [wanted]
    says = Says(case.raw, then_closes=not refused and not ends_itself)
    timeouts = {"first_byte_s": 0.5, "idle_s": 0.5}
    async with (
        origin(says) as instance,
        open_gateway(instance.instance, route={"retry": "never", "timeouts": timeouts}) as running,
    ):
        client, _ = await converse(running.port, [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"])
        heard = client.heard()
        statuses = [answer.status for answer in heard.whole[:1]]
        if case.title in EITHER:
            assert statuses in ([EITHER[case.title]], [502])
        elif refused:
            assert (
                statuses == [502]
                or (statuses == [504] and b"\r\n\r\n" not in case.raw)
                or (heard.cut and has_a_fine_head(case))
            )
            await until(lambda: says.ended)
        elif wanted is None:
            assert heard.cut or statuses == [502], "a cut body never looks complete"
        else:
            assert heard.problem is None
            assert (heard.whole[0].status, heard.whole[0].body) == (wanted.status, wanted.body)
        if not client.closed:
            assert heard.whole[-1].body == b"probed"
            assert len(heard.whole) == 2
        if refused or reading.rest or case.title in EITHER:
            assert not says.reused, "what else came on that connection would be taken for an answer"
