"""Whether there is room for one more request, when more come than can be carried out.

The rule is that of controlled delay for servers (B. Maurer, "Fail at Scale", ACM Queue 13(8), 2015, after
CoDel, RFC 8289): a queue that was empty a moment ago holds a burst, and may grow; one that has not been empty
for a while is a standing queue, in which every request only waits. Theirs drops what has waited for too
long. Here a request is refused when it comes, if it would have to: by Little's law, the queue's length over
the pace at which it moves. So nobody waits for a refusal, and what is let in is answered.

Nothing flaps: a standing queue ends only by becoming empty, and until then one is let in for each that
leaves. The processor's load is left out on purpose: a gateway that is busy and in time refuses nobody.
"""

import re

BURST = 5
"""A queue is standing when it has not been empty for that many times the wait that is bearable; until then
the wait may be as long."""


def has_room(
    *,
    in_flight: int,
    max_in_flight: int,
    waiting: int,
    pace: float,
    empty_at: float,
    max_queue_s: float,
    now: float,
) -> bool:
    """`in_flight`: requests being carried out. `pace`: requests that leave the queue, a second. `empty_at`:
    when nobody waited last."""
    if in_flight + waiting >= max_in_flight:
        return False
    bearable_s = max_queue_s if now - empty_at >= BURST * max_queue_s else BURST * max_queue_s
    return waiting <= pace * bearable_s


_NOT_PLAIN = rb"(?!Content-Length|Transfer-Encoding|Connection|Upgrade|Expect)"
_LINE = rb"(?i:" + _NOT_PLAIN + rb"[!#$%&'*+.^_`|~0-9A-Z-]+):[\t -~]*\r\n"
_PLAIN_GET = re.compile(rb"GET ([!-~]+) HTTP/1\.1\r\n(?:" + _LINE + rb")+\r\n")


def plain_get(data: bytes) -> bytes | None:
    """The target, if these bytes are one whole request that nothing follows and whose connection stays.

    Such a request can be refused without a parser, which takes longer than all the rest of a refusal. What is
    not surely so, goes the usual way.
    """
    found = _PLAIN_GET.fullmatch(data)
    return None if found is None else found[1]
