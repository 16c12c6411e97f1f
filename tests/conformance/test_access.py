"""Whatever is tried with a request line: nothing reaches an instance that its own rule did not let through.

Instances are taken for lax (`READERS`): they decode again, overlook case, parameters, slashes and dots, and
believe headers that name another path or method. However they read what has come, its rule was passed.
"""

import itertools
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from posixpath import normpath
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.runtime.places import Places
from gateway.target import BadTarget
from tests.conformance.gateways import open_gateway
from tests.conformance.oracle import Request
from tests.conformance.recorder import Recorder, recorder
from tests.conformance.talk import talk
from tests.gateway.runtime.gateways import settings_of, token

ON_UVLOOP = pytest.mark.asyncio(loop_factories=["uvloop"])

Rule = tuple[str, str, str]
"""(methods, beginning of a path as the instance sees it, what a caller must be): the longest counts."""


@dataclass(frozen=True)
class Scene:
    """Routes, and what stands behind them: `rules` say it anew, without the routes' way of matching."""

    routes: list[dict[str, Any]]
    rules: Sequence[Rule]
    open: str = "/open"
    """Below it everybody may ask for anything."""
    mine: str = "/mine"
    """Below it not everybody may. Both as clients name them."""
    behind: str = ""
    """What stands before both and does not reach the instance."""

    def needs(self, method: str, path: str) -> str:
        """What a caller must be who asks an instance for that."""
        found = [rule for rule in self.rules if method in rule[0].split() and is_below(path, rule[1])]
        return max(found, key=lambda rule: len(rule[1]))[2] if found else "anybody"


def is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(top if top.endswith("/") else f"{top}/")


def route(path: str, access: str = "public", **more: Any) -> dict[str, Any]:
    return {"path": path, "service": "auth", "access": access, **more}


ALL = "GET HEAD POST PUT PATCH DELETE OPTIONS"
SCENES = {
    "a user's path below a public one": Scene(
        [route("/*"), route("/mine/*", "user")], [(ALL, "/", "anybody"), (ALL, "/mine", "user")]
    ),
    "an internal path": Scene(
        [route("/open/*"), route("/mine/*", "internal")], [(ALL, "/open", "anybody"), (ALL, "/", "internal")]
    ),
    "an administrator's path below a user's": Scene(
        [route("/*", "user"), route("/open/*"), route("/mine/*", "user", require={"roles": ["admin"]})],
        [(ALL, "/", "user"), (ALL, "/open", "anybody"), (ALL, "/mine", "admin")],
    ),
    "names": Scene(
        [route("/{area}/{id}"), route("/mine/{id}", "user"), route("/open/*")],
        [(ALL, "/", "anybody"), (ALL, "/mine/", "user")],
    ),
    "rules by method": Scene(
        [
            *(route("/mine/*", methods=["GET"]), route("/mine/*", "user", methods=["POST"])),
            *(route("/mine/*", "internal", methods=["DELETE", "PUT", "PATCH"]), route("/open/*")),
        ],
        [
            *(("POST", "/mine", "user"), ("DELETE PUT PATCH", "/mine", "internal")),
            *(("GET HEAD OPTIONS", "/", "anybody"), (ALL, "/open", "anybody")),
        ],
    ),
    "a prefix that is cut off": Scene(
        [
            route("/api/open/*", strip_prefix="/api"),
            route("/api/*", strip_prefix="/api"),
            route("/api/mine/*", "user", strip_prefix="/api"),
        ],
        [(ALL, "/", "anybody"), (ALL, "/mine", "user")],
        *("/api/open", "/api/mine", "/api"),
    ),
    "paths that are rewritten": Scene(
        [
            route("/open/{id}", rewrite="/people/{id}/card"),
            route("/open/*", rewrite="/files/*"),
            route("/mine/*", "user", rewrite="/people/*"),
        ],
        [(ALL, "/files", "anybody"), (ALL, "/people", "user"), (ALL, "/", "user")],
    ),
}
CARD = re.compile(r"/people/[^/]+/card")
"""What everybody may see of people."""

READERS: list[Callable[[str], str]] = [
    lambda path: path.partition("#")[0].partition("?")[0],
    lambda path: re.sub(r";[^/]*", "", path),
    lambda path: unquote_to_bytes(path.encode("latin-1", "ignore")).decode("latin-1"),
    lambda path: path.partition("\0")[0].partition("\n")[0],
    lambda path: path.replace("\\", "/"),
    lambda path: re.sub(r"/[./ ]*/\Z|[. ]+\Z", "/", path) or "/",
    lambda path: re.sub("/{2,}", "/", path),
    lambda path: normpath("/" + path.lstrip("/")),
    lambda path: unicodedata.normalize(
        "NFKC", path.encode("latin-1", "ignore").decode("utf-8", "replace")
    ).casefold(),
    lambda path: path.lower(),
]
"""Things that instances were seen to do with a path."""


def read_by(path: str) -> Iterator[str]:
    """The path, and what each reader, each two, and all of them one after the other make of it."""
    yield path
    for count in (1, 2):
        for readers in itertools.combinations(READERS, count):
            yield read_in_turn(path, readers)
    yield (once := read_in_turn(path, READERS))
    yield read_in_turn(once, READERS)


def read_in_turn(path: str, readers: Sequence[Callable[[str], str]]) -> str:
    for reader in readers:
        path = reader(path)
    return path


def tricks(scene: Scene) -> Iterator[str]:
    """Targets that somebody wrote who wanted to get below `mine`."""
    top, mine = scene.open, scene.mine.removeprefix(scene.behind).strip("/")
    at = scene.behind
    first, rest = mine[0], mine[1:]
    ups = [
        "..",
        "%2e%2e",
        "%2E.",
        ".%2e",
        "%252e%252e",
        "..;",
        "..;a=1",
        "..%3b",
        "%c0%ae%c0%ae",
        "..%20",
        "...",
    ]
    slashes = [
        "/",
        "//",
        "/./",
        "/.;/",
        "%2f",
        "%2F",
        "%252f",
        "%5c",
        "%255c",
        "\\",
        "%c0%af",
        "/%2e/",
        ";/",
        "%00/",
    ]
    for up, slash in itertools.product(ups, slashes):
        yield f"{top}{slash}{up}{slash}{mine}/x"
    for up in ups:
        yield f"{top}/x/{up}/{up}/{mine}/x"
    for slash in slashes:
        yield f"{at}{slash}{mine}/x"
        yield f"{at}{slash}{mine}{slash}x"
        yield f"{at}/{mine}{slash}"
    for end in [
        "",
        "/",
        "/.",
        ".",
        "..",
        "/..",
        "%20",
        "%09",
        "%00",
        "%0a",
        ";",
        ";x=1",
        "?",
        "?/",
        "%3f",
        "%23",
        "#",
        ".json",
    ]:
        yield f"{at}/{mine}{end}"
        yield f"{at}/{mine}{end}/x"
        yield f"{at}/{mine}/x{end}"
    for letter in [
        first.upper(),
        f"%{ord(first):x}",
        f"%25{ord(first):x}",
        f"%2525{ord(first):x}",
        f"%u00{ord(first):x}",
    ]:
        yield f"{at}/{letter}{rest}/x"
        yield f"{at}/{letter}{rest.upper()}/x"
    yield f"{at}/%ef%bd%8d{rest}/x"
    yield f"{at}/%e2%85%bf{rest}/x"
    yield f"{at}/;a/{mine}/x"
    yield f"{at};a/{mine}/x"
    for query in ["?", "?x=", "?/../", "#", "%3f", "?x#"]:
        yield f"{top}/x{query}{scene.mine}/x"
    for other in [
        "http://h",
        "HTTP://h",
        "http://h:80",
        "http://other",
        "http://h@other",
        "//h",
        "https://h",
        "h:80",
    ]:
        yield f"{other}{scene.mine}/x"
        yield f"{other}{top}/..{scene.mine}/x"
    yield from (scene.mine.lstrip("/"), "*", "h:80", "", "/", "\\", "/..", f"\\{mine}", f"*{scene.mine}")


HEADERS = [
    *(
        "X-Original-URL: {}",
        "X-Rewrite-URL: {}",
        "x_original_url: {}",
        "X-Original-Url: {}\r\nX-Rewrite-Url: {}",
    ),
    *("X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE", "X-Method-Override: POST"),
    *("Connection: x-forwarded-for\r\nX_HTTP_METHOD_OVERRIDE: PUT", "Host: h\r\nHost: other"),
]
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "DELETE", "get", "Get", "PoST", "CONNECT", "TRACE", "FOO"]


async def said(port: int, head: str) -> tuple[int, dict[str, Any]]:
    """The status and, of an error that has a body, what it says."""
    method = head.partition(" ")[0]
    async with talk(port, [method.encode()]) as client:
        await client.say(head.encode("latin-1"))
        answer = await client.answer()
    ours = answer.status >= 400 and method != "HEAD"
    return answer.status, json.loads(answer.body) if ours else {}


def believed(request: Request) -> tuple[str, str]:
    """Method and path as an instance takes them that believes headers more than the request line."""
    method, path = request.method.decode(), request.target.decode("latin-1")
    for name, value in request.headers:
        spelled = name.decode().replace("_", "-")
        if spelled in ("x-original-url", "x-rewrite-url"):
            path = value.decode()
        elif spelled in ("x-http-method-override", "x-http-method", "x-method-override"):
            method = value.decode()
    return method, path


def let_in(scene: Scene, kept: Recorder, passed: frozenset[str]) -> list[str]:
    """What reached the instance and should not have, for a caller who is all of `passed`."""
    strays = []
    for request in kept.requests():
        method, path = believed(request)
        for seen in read_by(path.partition("?")[0]):
            if CARD.fullmatch(seen) is None and scene.needs(method, seen) not in passed:
                strays.append(f"{request.method!r} {request.target!r}, read as {seen}")
                break
    return strays


ANYBODY = frozenset({"anybody"})
USER = frozenset({"anybody", "user"})


@ON_UVLOOP
@pytest.mark.parametrize("name", list(SCENES))
async def test_no_trick_gets_past_a_rule(name: str) -> None:
    scene = SCENES[name]
    lines = [f"GET {target} HTTP/1.1\r\nHost: h\r\n" for target in dict.fromkeys(tricks(scene))]
    tops = (f"{scene.open}/x", f"{scene.mine}/x", scene.mine)
    lines += [f"{method} {target} HTTP/1.1\r\nHost: h\r\n" for method in METHODS for target in tops]
    lines += [
        f"{method} {scene.open}/x HTTP/1.1\r\nHost: h\r\n{header.format(*[f'{scene.mine}/x'] * 2)}\r\n"
        for method in ("GET", "POST")
        for header in HEADERS
    ]
    callers = [("", ANYBODY), (f"Authorization: Bearer {token()}\r\n", USER)]
    async with (
        recorder() as kept,
        open_gateway(kept.instance, routes=scene.routes, internal={"networks": []}) as running,
    ):
        for (proof, passed), line in itertools.product(callers, lines):
            kept.forget()
            status, body = await said(running.port, f"{line}{proof}\r\n")
            assert let_in(scene, kept, passed) == []
            assert (status < 400) == bool(kept.requests()) or line.startswith("OPTIONS *"), line
            if body:
                assert {"error", "reason", "timestamp", "request_id"} <= body.keys(), line


@ON_UVLOOP
async def test_the_scenes_let_in_whom_they_should() -> None:
    """Else nothing would be shown by nobody getting in."""
    for scene in SCENES.values():
        async with recorder() as kept, open_gateway(kept.instance, routes=scene.routes) as running:
            proof = f"Authorization: Bearer {token(roles=['admin'])}\r\n"
            for path in (f"{scene.open}/x", f"{scene.mine}/x"):
                status, _ = await said(running.port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{proof}\r\n")
                assert status == 200, (path, scene.routes)
            assert len(kept.requests()) == 2


PIECES = [
    *(
        "/",
        "/",
        "/",
        "//",
        ".",
        "..",
        ";",
        ";a",
        "%2e",
        "%252e",
        "%2f",
        "%252f",
        "%5c",
        "%255c",
        "%00",
        "%3b",
        "%20",
    ),
    *(
        "mine",
        "mine",
        "Mine",
        "%6dine",
        "%256dine",
        "m",
        "ine",
        "MINE",
        "open",
        "api",
        "people",
        "files",
        "card",
        "x",
    ),
    *("%c0%af", "%c0%ae", "%ef%bd%8d", "%ff", "%3f", "%23", "{id}", "*"),
]
ROOMS = {name: Places(settings_of(routes=scene.routes), ()) for name, scene in SCENES.items()}


@pytest.mark.parametrize("name", list(SCENES))
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=9), st.sampled_from(ALL.split()))
@settings(max_examples=250)
def test_a_path_at_the_instance_asks_for_what_was_judged(name: str, pieces: list[str], method: str) -> None:
    scene = SCENES[name]
    place = ROOMS[name].find(method, scene.behind + "/" + "".join(pieces), (1, 1), ["h"])
    if isinstance(place, BadTarget) or place.route is None:
        return
    judged = "admin" if place.route.require.roles else {"public": "anybody"}.get(place.access, place.access)
    passed = {judged, "anybody", *(["user"] if judged == "admin" else [])}
    for seen in read_by(place.upstream_target.partition("?")[0]):
        assert CARD.fullmatch(seen) or scene.needs(method, seen) in passed, (place.upstream_target, seen)
