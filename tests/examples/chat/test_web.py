import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from examples.chat.web import CLIENT, FOLDER, read_pages, web_app
from tests.examples.chat.clients import Client, running


@pytest.fixture
async def page() -> AsyncIterator[Client]:
    async with running(web_app(read_pages())) as client:
        yield client


async def test_the_page_is_at_the_root_with_its_policy(page: Client) -> None:
    async with page.get("/") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "<title>Quaymaster chat</title>" in await answer.text()


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("app.js", "text/javascript; charset=utf-8"),
        ("quaymaster.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ],
)
async def test_files_have_their_types(page: Client, name: str, content_type: str) -> None:
    async with page.get(f"/chat/{name}") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == content_type


async def test_what_a_browser_has_is_not_sent_again(page: Client) -> None:
    async with page.get("/chat/app.js") as answer:
        etag = answer.headers["ETag"]
    async with page.get("/chat/app.js", headers={"If-None-Match": etag}) as answer:
        assert answer.status == 304
        assert await answer.read() == b""
    async with page.get("/chat/app.js", headers={"If-None-Match": '"old"'}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", ["/chat/nothing.js", "/chat/..%2fweb.py", "/chat/%2e%2e/web.py", "/chat/"])
async def test_nothing_else_is_served(page: Client, path: str) -> None:
    async with page.get(path) as answer:
        assert answer.status == 404


class Elements(HTMLParser):
    """What a page says of its elements."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))

    def values(self, attribute: str) -> list[str]:
        return [value for _, attrs in self.all if (value := attrs.get(attribute))]


INDEX = Elements(FOLDER / "index.html")
FILES = [*FOLDER.iterdir(), CLIENT]
SCRIPTS = {path.name: path.read_text() for path in FILES if path.suffix == ".js"}


def test_all_the_page_needs_is_its_own() -> None:
    """No address of another machine, and every file it names is there."""
    own = {"/chat/" + path.name for path in FILES}
    named = {*INDEX.values("src"), *INDEX.values("href")}
    imports = [name for script in SCRIPTS.values() for name in re.findall(r'from "(.+?)"', script)]
    assert named <= own
    assert imports
    assert {name.replace("./", "/chat/") for name in imports} <= own
    for path in FOLDER.iterdir():
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", path.read_text()), path.name


def test_no_script_or_style_is_inline() -> None:
    for tag, attrs in INDEX.all:
        assert tag != "style"
        assert tag != "script" or attrs.get("src")
        assert not [name for name in attrs if name.startswith("on") or name == "style"]


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_what_people_write_can_only_become_text(name: str) -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|new Function"
    assert not re.search(forbidden, SCRIPTS[name])


def test_the_ids_scripts_ask_for_are_in_the_page() -> None:
    ids = INDEX.values("id")
    asked = {id for script in SCRIPTS.values() for id in re.findall(r'byId\("([\w-]+)"\)', script)}
    assert len(ids) == len(set(ids))
    assert asked <= set(ids)


def test_every_control_has_a_name_for_those_who_do_not_see_it() -> None:
    html = (FOLDER / "index.html").read_text()
    for tag, attrs in INDEX.all:
        if tag in {"input", "select", "textarea"}:
            labelled = attrs.get("id") and f'for="{attrs["id"]}"' in html
            inside = re.search(rf'<label>[^<]+\s*<{tag} name="{attrs.get("name")}"', html)
            assert labelled or inside, attrs
