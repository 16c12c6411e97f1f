"""Whether a GET is answered with a status from 200 to 399. No redirect is followed, no body is read."""

import re
from base64 import b64encode
from urllib.parse import quote

from gateway.health_probes import Found, ProbeTarget
from gateway.probes.base import connected, line

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: .*)?")


async def ask(target: ProbeTarget) -> Found:
    async with connected(target) as (reader, writer):
        writer.write(_request(target))
        found = _STATUS_LINE.fullmatch(await line(reader))
    if found is None:
        return Found.BAD_ANSWER
    return Found.UP if 200 <= int(found[1]) < 400 else Found.STATUS


def _request(target: ProbeTarget) -> bytes:
    host = f"[{target.host}]" if ":" in target.host else target.host
    lines = [
        f"GET {quote(target.path, safe='/?&=%:@!$()*+,;~')} HTTP/1.1",
        f"Host: {host}:{target.port}",
        "User-Agent: quaymaster",
        "Accept: */*",
        "Connection: close",
    ]
    if target.user or target.password:
        secret = b64encode(f"{target.user}:{target.password}".encode()).decode()
        lines.append(f"Authorization: Basic {secret}")
    return "\r\n".join([*lines, "", ""]).encode()
