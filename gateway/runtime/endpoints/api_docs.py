"""`/openapi.json`, and `/docs`: a page that shows it, from files of our own."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path

import orjson
from multidict import istr

from gateway.errors import GatewayError, Reason, gateway_error
from gateway.openapi import describe
from gateway.openapi_operations import Operation, Parameter, Told
from gateway.peer_answers import is_known
from gateway.runtime.endpoints.endpoint import Endpoint
from gateway.runtime.exchange import Exchange, Pairs
from gateway.runtime.internal_callers import is_internal_call
from gateway.runtime.reply import Reply
from gateway.runtime.upstream_docs import UpstreamDocs
from gateway.settings import Settings

PIECE = 1 << 16
"""Bytes written at a time. What is longer waits for its reader: a thousand readers who take nothing must not
cost a thousand copies."""
PAGE = Path(__file__).parents[2] / "api_page"
FILES = {
    "page.css": (PAGE / "page.css", "text/css; charset=utf-8"),
    "start.js": (PAGE / "start.js", "text/javascript; charset=utf-8"),
    "swagger-ui.css": (PAGE / "swagger-ui-dist" / "swagger-ui.css", "text/css; charset=utf-8"),
    "swagger-ui-bundle.js": (
        PAGE / "swagger-ui-dist" / "swagger-ui-bundle.js",
        "text/javascript; charset=utf-8",
    ),
}
"""Below /docs/."""
INDEX = (PAGE / "index.html", "text/html; charset=utf-8")

SAFE: Pairs = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
PAGE_SAFE: Pairs = (
    *SAFE,
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
ASK_FIRST = ("Cache-Control", "no-cache")
_IF_NONE_MATCH = istr("If-None-Match")

UNCHANGED = Told("It is what `If-None-Match` says.", headers={"ETag": "What to ask with."})
IF_NONE_MATCH = Parameter("If-None-Match", "The `ETag` of an earlier answer.", "header")
DOCUMENT = Operation(
    "This description",
    {200: Told("OpenAPI 3.1.", media="application/json", headers=UNCHANGED.headers), 304: UNCHANGED},
    text="What is internal is described to internal callers only.",
    parameters=(IF_NONE_MATCH,),
)
SHOWN = Operation(
    "This description as a page",
    {200: Told("The page.", media="text/html", headers=UNCHANGED.headers), 304: UNCHANGED},
    parameters=(IF_NONE_MATCH,),
)
FILE = Operation(
    "The page's files",
    {200: Told("One of them.", media="text/*", headers=UNCHANGED.headers), 304: UNCHANGED},
    path="/docs/{file}",
    parameters=(
        Parameter("file", where="path", schema={"type": "string", "enum": sorted(FILES)}),
        IF_NONE_MATCH,
    ),
    errors=(Reason.NO_ROUTE,),
)


@dataclass(frozen=True, slots=True)
class _Kept:
    body: bytes
    etag: str
    version: int = 0
    """Of what services say of themselves."""


@dataclass(slots=True, repr=False)
class ApiDocsEndpoints:
    settings: Settings
    described: Sequence[Endpoint]
    """All of the gateway's own; may still grow until the first request."""
    version: str
    upstream: UpstreamDocs
    _documents: dict[bool, _Kept] = field(default_factory=dict)
    """By whether what is internal is in it."""
    _files: dict[Path, _Kept] = field(default_factory=dict)
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)

    def endpoints(self) -> list[Endpoint]:
        """None where the settings want none."""
        if not self.settings.docs.enabled:
            return []
        endpoint = partial(Endpoint, methods=("GET",), access=self.settings.docs.access, limited=True)
        return [
            endpoint("/openapi.json", answer=self.document, operations=(DOCUMENT,)),
            endpoint("/docs", answer=self.page, operations=(SHOWN,)),
            endpoint("/docs/", answer=self.file, prefix=True, operations=(FILE,)),
        ]

    async def document(self, exchange: Exchange) -> Reply | GatewayError | None:
        """The description. Made once, and again when a service describes itself otherwise."""
        internal = self.settings.internal
        key = internal.key.get_secret_value() if internal.key else ""
        kept = await self._described(internal=is_internal_call(exchange, internal.networks, key))
        own = (("Content-Type", "application/json"), ASK_FIRST, ("Vary", "X-Internal-Key"), *SAFE)
        return await _answer(exchange, kept, own)

    async def page(self, exchange: Exchange) -> Reply | GatewayError | None:
        """The page itself, which asks for the rest."""
        path, media = INDEX
        return await _answer(
            exchange, await self._read(path), (("Content-Type", media), ASK_FIRST, *PAGE_SAFE)
        )

    async def file(self, exchange: Exchange) -> Reply | GatewayError | None:
        """What the page is made of."""
        name = exchange.target.path.removeprefix("/docs/")
        if not name:
            # Relative, as the gateway does not know behind which prefix it is.
            return Reply(308, b"", (("Location", "../docs"), *SAFE))
        if name not in FILES:
            return gateway_error(Reason.NO_ROUTE)
        path, media = FILES[name]
        return await _answer(
            exchange, await self._read(path), (("Content-Type", media), ASK_FIRST, *PAGE_SAFE)
        )

    async def _described(self, *, internal: bool) -> _Kept:
        if (kept := self._up_to_date(internal)) is not None:
            return kept
        async with self._making:
            if (kept := self._up_to_date(internal)) is not None:
                return kept
            version = self.upstream.version
            # Beside the loop: a long table of routes takes its time.
            body = await asyncio.to_thread(self._describe, internal)
            kept = self._documents[internal] = _Kept(body, _etag(body), version)
            return kept

    def _up_to_date(self, internal: bool) -> _Kept | None:
        kept = self._documents.get(internal)
        return kept if kept is not None and kept.version == self.upstream.version else None

    def _describe(self, internal: bool) -> bytes:
        made = describe(self.settings, self.described, self.version, self.upstream.apis, internal=internal)
        return orjson.dumps(made)

    async def _read(self, path: Path) -> _Kept:
        if path not in self._files:
            body = await asyncio.to_thread(path.read_bytes)
            self._files[path] = _Kept(body, _etag(body))
        return self._files[path]


def _etag(body: bytes) -> str:
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


async def _answer(exchange: Exchange, kept: _Kept, own: Pairs) -> Reply | None:
    """304 to whoever has it; else all of it, in pieces where it is long."""
    request, own = exchange.request, (*own, ("ETag", kept.etag))
    known = request.headers.getall(_IF_NONE_MATCH, ())
    if known and is_known(",".join(known), kept.etag):
        return Reply(304, b"", own)
    if request.method == "HEAD" or len(kept.body) <= PIECE:
        return Reply(200, kept.body, own)
    length = ((b"Content-Length", b"%d" % len(kept.body)),)
    request.begin(200, exchange.answer_headers(own), theirs=length)
    try:
        for start in range(0, len(kept.body), PIECE):
            await request.write(kept.body[start : start + PIECE])
        request.end()
    except TimeoutError:
        exchange.reason = "client_stalled"
        request.cut_off()
    return None
