"""The one oracle (RELIABILITY 5): what went in at one end against what came out at the other.

What reaches an instance parses cleanly, is what h11 reads in the same bytes, in that order, and was
answered; and every answer belongs to its request.
"""

import json
import re

from tests.conformance.oracle import requests_in, sent_headers
from tests.conformance.recorder import Recorder
from tests.conformance.talk import Talk


def own_target(target: bytes) -> bytes:
    """The path of an absolute target: that is how it is forwarded."""
    return re.sub(rb"^http://[^/]*", b"", target)


def judge(client: Talk, said: bytes, kept: Recorder) -> None:
    """The one oracle."""
    heard, asked = client.heard(), requests_in(said, generous=True)
    assert heard.problem is None
    assert heard.rest == b""
    assert kept.problem() is None
    carried = [json.loads(saw) for answer in heard.whole for saw in answer.all(b"x-saw")]
    assert len(kept.requests()) == len(carried), "something was executed and not answered"
    for number, answer in enumerate(heard.whole):
        request = asked.whole[number] if number < len(asked.whole) else None
        if request is not None and request.message == (b"GET", b"/probe", b""):
            assert answer.all(b"x-saw"), "what came before has changed the next request"
        for saw in answer.all(b"x-saw"):
            assert request is not None, "an answer to what is no request"
            assert json.loads(saw)[1:] == [request.method.decode(), own_target(request.target).decode()]
            seen = kept.requests()[json.loads(saw)[0]]
            assert seen.body == request.body
            assert sent_headers(seen) == sent_headers(request)
            assert len(seen.all(b"host")) == 1
            assert request.all(b"host") in ([], seen.all(b"host"))
