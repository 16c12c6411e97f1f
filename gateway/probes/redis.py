"""Whether a Redis answers PING, after AUTH where the URL has a password."""

from gateway.health_probes import Found, ProbeTarget
from gateway.probes.base import connected, line

_DENIED = (b"NOAUTH", b"WRONGPASS", b"NOPERM")


async def ask(target: ProbeTarget) -> Found:
    async with connected(target) as (reader, writer):
        if target.password:
            # Its answer does not matter: a Redis without a password refuses one, and answers PING.
            user = [target.user] if target.user else []
            writer.write(_packed("AUTH", *user, target.password))
        writer.write(_packed("PING"))
        if target.password:
            _error(await line(reader))
        answer = await line(reader)
    if answer == b"+PONG":
        return Found.UP
    word = _error(answer)
    if word in _DENIED:
        return Found.DENIED
    if word == b"LOADING":
        return Found.STARTING
    return Found.ERROR if word else Found.BAD_ANSWER


def _error(answer: bytes) -> bytes:
    """The first word of an error, empty for what is none. Raises `ValueError` for what no Redis says."""
    if not answer.startswith((b"+", b"-")):
        raise ValueError("this is no Redis")
    return answer[1:].split(b" ", 1)[0] if answer.startswith(b"-") else b""


def _packed(*words: str) -> bytes:
    """A command as Redis reads it: how many words, then how long each is, and the word (RESP)."""
    sized = (b"$%d\r\n%b\r\n" % (len(data), data) for data in (word.encode() for word in words))
    return b"*%d\r\n" % len(words) + b"".join(sized)
