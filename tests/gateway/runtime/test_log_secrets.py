"""H18 to H21 of the threats: whatever is said to a gateway, no secret stands in what it writes, and nothing
that is written was begun by anybody else."""

import base64
import json
import signal
from pathlib import Path

from tests.balancer import origins
from tests.balancer.origins import counts_requests, origin
from tests.gateway import programs
from tests.gateway.runtime.gateways import ask, settings_text, token, wire
from tests.servers import free_ports

CANARY = "canary-that-nobody-may-write-down"
B64 = base64.urlsafe_b64encode(CANARY.encode()).decode().rstrip("=")
ROUTES = [
    {"path": "/open/*", "service": "auth", "access": "public"},
    {"path": "/mine/*", "service": "auth", "access": "user"},
    {"path": "/inside/*", "service": "auth", "access": "internal"},
    {"path": "/down/*", "service": "down", "access": "public"},
]

ASKED = [
    ("GET", f"/open/a?token={CANARY}&ticket={CANARY}", ()),
    ("GET", f"/nowhere?token={CANARY}", ()),
    ("GET", f"/down/a?token={CANARY}", (f"Authorization: Bearer {CANARY}",)),
    ("GET", "/mine/a", (f"Authorization: Bearer {CANARY}",)),
    ("GET", "/mine/a", (f"Authorization: Bearer {B64}.{B64}.{B64}",)),
    ("GET", "/mine/a", (f"Authorization: Basic {CANARY}",)),
    ("GET", "/mine/a", (f"token: {CANARY}",)),
    ("GET", f"/mine/a?uid={CANARY}", (f"token: {token('ada', note=CANARY)}", f"uid: {CANARY}")),
    ("GET", "/inside/a", (f"X-Internal-Key: {CANARY}",)),
    ("GET", "/metrics", (f"X-Internal-Key: {CANARY}", f"Cookie: session={CANARY}")),
    ("GET", f"/get_websocket_handler?token={CANARY}", (f"Sec-WebSocket-Protocol: {CANARY}",)),
    ("PUT", "/admin/logging", (f"X-Note: {CANARY}", f"traceparent: {CANARY}", f"tracestate: {CANARY}")),
    ("POST", "/open/a", (f"Content-Type: {CANARY}", f"X-Request-Id: a {CANARY}")),
]

RAW = [
    f"GET /open/a HTTP/1.1\r\nHost: x\r\nAuthorization {CANARY}\r\n\r\n",
    f"GET /open/a HTTP/1.1\r\nHost: {CANARY}@x\r\n\r\n",
    f"GET http://user:{CANARY}@x/open/a HTTP/1.1\r\nHost: x\r\n\r\n",
    f"GET /open/a?token={CANARY} HTTP/9.9\r\nHost: x\r\n\r\n",
    f"GET /open/%00?token={CANARY} HTTP/1.1\r\nHost: x\r\n\r\n",
    f"POST /open/a HTTP/1.1\r\nHost: x\r\nContent-Length: {CANARY}\r\n\r\n",
    f'GET /open/a\n{{"event":"request","forged":"{CANARY}"}} HTTP/1.1\r\nHost: x\r\n\r\n',
    f"GET /open/a#{CANARY} HTTP/1.1\r\nHost: x\r\n\r\n",
]


async def test_no_secret_is_ever_written_and_no_line_is_forged(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    async with origin(counts_requests) as good, origin(origins.resets_after_request_read, "bad") as bad:
        file = tmp_path / "quaymaster.yaml"
        services = {
            "auth": {"instances": [f"http://127.0.0.1:{good.instance.port}"]},
            "down": {"instances": [f"http://127.0.0.1:{bad.instance.port}"]},
        }
        text = settings_text(
            routes=ROUTES,
            services=services,
            listen={"port": port},
            internal={"networks": ["127.0.0.0/8"], "key": "k" * 32},
            logging={"level": "debug", "format": "json", "slow_s": 0.000_001},
        )
        file.write_text(text)
        async with programs.serving(port, "serve", "--config", file) as process:
            for method, target, headers in ASKED:
                await ask(port, method, target, *headers, body=CANARY.encode() if method != "GET" else b"")
            for raw in RAW:
                async with wire(port) as client:
                    await client.say(raw)
                    client.writer.write_eof()
                    await client.rest()
            process.send_signal(signal.SIGTERM)
            ran = await programs.ended(process)
    assert "/open/a" in ran.out
    assert CANARY not in ran.out + ran.err
    assert B64 not in ran.out + ran.err
    assert "Traceback" not in ran.err
    lines = ran.out.splitlines()
    assert len(lines) >= len(ASKED)
    assert {json.loads(line)["event"] for line in lines} == {"request"}
    assert all(line.isprintable() for line in lines)
