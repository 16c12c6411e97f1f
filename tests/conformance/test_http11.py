"""The public HTTP/1.1 conformance suite (Http11Probe), each case over a raw socket to a recording instance.

Two questions a case: is the gateway's reaction what the suite wants, and does the one oracle hold.
"""

from collections.abc import Callable

import pytest

from tests.conformance.external import Http11Case, http11_cases
from tests.conformance.gateways import open_gateway
from tests.conformance.judge import judge
from tests.conformance.oracle import Answer, Request, requests_in
from tests.conformance.recorder import Recorder, recorder
from tests.conformance.talk import PROBE, SILENCE_S, WITHIN_S, Talk, converse

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

CASES = http11_cases()
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS"]
"""Not DELETE: a case wants to see what is not allowed."""
UNLIMITED = 1 << 40
"""Bytes of a body. The suite's huge Content-Length is about a body that never comes, not about limits."""


def cases(wanted: Callable[[Http11Case], object]) -> list[object]:
    return [pytest.param(case, id=case.id) for case in CASES if wanted(case)]


def echoes(answer: Answer, asked: Request, _: Talk) -> bool:
    return answer.body == asked.body


def closes(_: Answer, __: Request, client: Talk) -> bool:
    return client.closed


def names(header: bytes) -> Callable[[Answer, Request, Talk], bool]:
    return lambda answer, asked, client: len(answer.all(header)) == 1


def fails(_: Answer, __: Request, ___: Talk) -> bool:
    return False


DEPENDS: dict[str, Callable[[Answer, Request, Talk], bool]] = {
    **dict.fromkeys(
        [
            "COMP-POST-CL-BODY",
            "COMP-CHUNKED-BODY",
            "COMP-CHUNKED-MULTI",
            "COMP-CHUNKED-EXTENSION",
            "COMP-CHUNKED-TRAILER-VALID",
            "COMP-CHUNKED-HEX-UPPERCASE",
        ],
        echoes,
    ),
    "COMP-CONNECTION-CLOSE": closes,
    "COMP-HTTP10-DEFAULT-CLOSE": closes,
    "COMP-HEAD-NO-BODY": lambda answer, asked, client: answer.body == b"",
    "COMP-405-ALLOW": names(b"allow"),
    "COMP-OPTIONS-ALLOW": names(b"allow"),
    "COMP-DATE-HEADER": names(b"date"),
    "COMP-CONTENT-TYPE": names(b"content-type"),
    "COMP-NO-CL-IN-204": lambda answer, asked, client: not answer.all(b"content-length"),
    "COMP-NO-1XX-HTTP10": lambda answer, asked, client: not answer.interim,
    "SMUG-TE-TRAILING-SPACE": fails,
    "SMUG-TE-OBS-FOLD": fails,
    "SMUG-CLTE-PIPELINE": fails,
    "SMUG-TECL-PIPELINE": fails,
}
"""Where the status alone does not decide: what the answer must be like, if it is the wanted one."""

WANTED = {"COMP-405-ALLOW": "405", "COMP-OPTIONS-ALLOW": "204", "COMP-NO-CL-IN-204": "204"}
"""The status they speak of, where it is not 200."""


async def play(case: Http11Case, kept: Recorder) -> tuple[Talk, bytes]:
    async with open_gateway(
        kept.instance, route={"methods": METHODS}, listen={"port": 0, "max_body_bytes": UNLIMITED}
    ) as running:
        steps = case.said_to(running.port)
        methods = [b"HEAD" if step.startswith(b"HEAD ") else b"GET" for step in steps]
        silence_s = SILENCE_S if case.may_be_met_with_silence else WITHIN_S
        return await converse(running.port, steps, methods, silence_s=silence_s)


@pytest.mark.parametrize("case", cases(lambda case: case.verdicts))
async def test_a_single_request_gets_its_right_reaction(case: Http11Case) -> None:
    async with recorder() as kept:
        client, said = await play(case, kept)
        judge(client, said, kept)
        answers = client.answers
        reaction = str(answers[0].status) if answers else "close" if client.closed else "timeout"
        if reaction == "400" and not requests_in(said.removesuffix(PROBE), generous=True).whole:
            assert client.closed, "what follows bytes that are no request can't be read"
        if not case.scored:
            return
        if case.id in DEPENDS and reaction == WANTED.get(case.id, "200"):
            assert DEPENDS[case.id](answers[0], requests_in(said).whole[0], client), case.expected
        else:
            assert case.verdicts[reaction] in ("Pass", "Warn"), f"{reaction}: {case.expected}"


@pytest.mark.parametrize("case", cases(lambda case: not case.verdicts and case.scored))
async def test_a_request_that_hides_another_is_refused_and_ends_the_connection(case: Http11Case) -> None:
    async with recorder() as kept:
        client, _ = await play(case, kept)
        assert [answer.status for answer in client.answers] == [400]
        assert client.closed
        assert kept.requests() == []
        if not case.id.startswith("SMUG-CHUNK-"):
            assert not kept.begun(), "the head alone tells"


@pytest.mark.parametrize("case", cases(lambda case: not case.verdicts and not case.scored))
async def test_an_odd_sequence_is_read_in_one_way(case: Http11Case) -> None:
    async with recorder() as kept:
        client, said = await play(case, kept)
        judge(client, said, kept)
        assert client.answers
