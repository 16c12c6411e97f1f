"""The page's service: static files, read once, at `/` and `/chat/…`; Quaymaster's client is one of them.

python -m examples.chat.web --port 9021 --id chat-page-1
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from examples.chat.service import arguments, new_app, refuse, serve

FOLDER = Path(__file__).parent / "page"
CLIENT = Path(__file__).parents[2] / "clients" / "js" / "quaymaster.js"
"""In the repository. A package of ours has it among the page's files: see pyproject.toml."""
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
HEADERS = {
    # No script, style or font from anywhere else, and nothing inline. `ws:` is any WebSocket, as
    # only the gateway knows where its handlers are.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Kept, but asked about each time: a new version of the page is seen at once.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One file, ready to send."""

    body: bytes
    content_type: str
    etag: str


def read_pages(folder: Path = FOLDER) -> dict[str, Page]:
    """Every file of the page by its name."""
    paths = {CLIENT.name: CLIENT} | {path.name: path for path in folder.iterdir()}
    pages = {}
    for name, path in sorted(paths.items()):
        body = path.read_bytes()
        pages[name] = Page(body, TYPES[path.suffix], hashlib.sha256(body).hexdigest()[:16])
    return pages


def web_app(pages: Mapping[str, Page]) -> web.Application:
    def send(request: web.Request, name: str) -> web.Response:
        page = pages.get(name)
        if page is None:
            return refuse(404, "not found")
        headers = {**HEADERS, "ETag": f'"{page.etag}"'}
        if any(tag.value in (page.etag, "*") for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=page.body, headers=headers | {"Content-Type": page.content_type})

    async def index(request: web.Request) -> web.Response:
        return send(request, "index.html")

    async def file(request: web.Request) -> web.Response:
        return send(request, request.match_info["name"])

    app = new_app()
    app.router.add_get("/", index)
    app.router.add_get("/chat/{name}", file)
    return app


def main() -> None:
    serve(web_app(read_pages()), "chat-page", arguments("web").parse_args())


if __name__ == "__main__":
    main()
