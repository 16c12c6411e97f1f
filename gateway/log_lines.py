"""How the line of a request is written: as JSON for machines, as text for people.

Rules of this file: no query (tokens stand in there) and no header value. Nothing that came from outside can
end a line, begin another one, or move somebody's cursor.

Users of other gateways find the names they know beside ours: `url`, `status_code`, `user_id`, `ip`.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

import orjson

LINE_END = b"\n"
_NOT_PLAIN = re.compile("[\x7f-\x9f\u2028\u2029]")
"""What JSON allows unescaped and terminals or readers of lines act upon."""


@lru_cache(maxsize=1024)
def shared_part(
    ours: str,
    level: str,
    method: str,
    path: str,
    route: str,
    status: int,
    reason: str | None,
    client: str,
    user: str | None,
    tier: str | None,
    service: str | None,
    instance: str | None,
    attempts: int,
    version: str | None,
    cache: str | None,
) -> bytes:
    """Of a line of JSON all that requests share, from a comma to its end; what is a request's own comes
    before it.

    `service` is the one that was called. Where none was, it is the gateway, by the name `ours`.

    Remembered: most clients ask for the same again.
    """
    rest = {
        "level": level,
        "service": service or ours,
        "event": "request",
        "method": method,
        "url": path,
        "path": path,
        "route": route,
        "status": status,
        "status_code": status,
        "reason": reason,
        "ip": client,
        "client": client,
        "user_id": user,
        "user": user,
        "tier": tier,
        "instance": instance,
        "attempts": attempts,
        "version": version,
        "cache": cache,
    }
    return b"," + _dumped(rest)[1:] + LINE_END


def text_line(
    now_iso: str,
    method: str,
    path: str,
    status: int,
    seconds: float,
    *,
    reason: str | None,
    instance: str | None,
    attempts: int,
    decision: int,
) -> bytes:
    """One short line. `now_iso` is the time as ISO 8601."""
    where = f" -> {instance}" if instance else ""
    where += f" (decision {decision})" if decision else ""
    why = f" ({reason})" if reason else ""
    again = f" in {attempts} tries" if attempts > 1 else ""
    line = f"{now_iso[11:23]} {method} {path} {status}{why} {seconds * 1000:.1f} ms{where}{again}"
    return (line if line.isprintable() else repr(line)[1:-1]).encode() + LINE_END


def _dumped(values: Mapping[str, object]) -> bytes:
    try:
        data = orjson.dumps(values)
    except TypeError:  # half of a pair of surrogates, which no encoding of Unicode can write
        whole = {key: _whole(value) if isinstance(value, str) else value for key, value in values.items()}
        data = orjson.dumps(whole)
    if data.isascii() and b"\x7f" not in data:
        return data
    return _NOT_PLAIN.sub(lambda found: f"\\u{ord(found[0]):04x}", data.decode()).encode()


def _whole(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
