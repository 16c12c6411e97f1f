"""A service that is well or ill, for the health checks of the deployment's files."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


class _Health(BaseHTTPRequestHandler):
    status: ClassVar[int] = 200

    def do_GET(self) -> None:
        known = self.path in ("/health", "/health/live")
        self.send_response(self.status if known else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Tests print nothing."""


@contextmanager
def answers_health(status: int) -> Iterator[int]:
    """A service that answers `/health` and `/health/live` with that status; yields its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Health", (_Health,), {"status": status}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
