"""Where clients reach a handler: what it may say of itself, and the WebSocket URL that follows."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from handlers.model import HandlerId, Hello, Known
from registry.model import Health, Instance

SCHEMES = ("http", "https", "ws", "wss")
MAX_CAPACITY = 1_000_000
_PATH = re.compile(r"/[\w.~!$&'()*+,;=:@%/-]*", re.ASCII)
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")


class BadAddress(ValueError):
    """What a handler says of itself can't be handed to a client. The text names the field and the fix."""


def websocket_url(url: str, path: str) -> str:
    """The same place with ws or wss and the handler's path: `https://h:1` and `/ws` -> `wss://h:1/ws`."""
    return ("ws" + url[4:] if url.startswith("http") else url) + path


def public_url(text: str) -> str:
    """`text` without a slash at its end. Raises `BadAddress` unless it is an http(s) or ws(s) URL."""
    problem = _url_problem(text)
    if problem:
        raise BadAddress(f"public_url {text[:100]!r} {problem}: give one like https://host:8001")
    return text.rstrip("/")


def _url_problem(text: str) -> str:
    if _UNPRINTABLE.search(text):
        return "holds blanks or unprintable characters"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return "has a bad host or port"
    if parts.scheme not in SCHEMES or not text.startswith(parts.scheme + "://"):
        return f"has none of the schemes {', '.join(SCHEMES)}"
    if not parts.hostname or port == 0:
        return "has no host, or port 0"
    if parts.username is not None or "?" in text or "#" in text or "\\" in text:
        return "holds a user, a query, a fragment or a backslash"
    return ""


def path(text: str) -> str:
    """`text` itself. Raises `BadAddress` unless it is an absolute path."""
    if not _PATH.fullmatch(text):
        raise BadAddress(f"path {text[:100]!r} is not an absolute path: give one like /ws")
    return text


def capacity(text: str | int) -> int:
    """Raises `BadAddress` unless it is a whole number from 1 to a million."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= MAX_CAPACITY:
        raise BadAddress(f"capacity {str(text)[:100]!r} is not a whole number from 1 to {MAX_CAPACITY}")
    return number


def handler_id(text: str) -> HandlerId:
    """Raises `BadAddress` for a name that is empty, too long or has control characters."""
    if not _NAME.fullmatch(text):
        raise BadAddress(f"handler_id {text[:100]!r} is not a name of 1 to 200 printable characters")
    return HandlerId(text)


def check_hello(hello: Hello) -> None:
    """Raises `BadAddress` for the first field of a hello that can't be right."""
    public_url(hello.url)
    path(hello.path)
    capacity(hello.capacity)
    handler_id(hello.id)
    if hello.epoch < 1 or hello.weight < 1 or hello.connections < 0:
        raise BadAddress("epoch and weight must be at least 1, connections at least 0")


def known(instance: Instance, *, usable: bool) -> Known:
    """A handler as its registration describes it. Raises `BadAddress` for meta that can't be right."""
    meta: Mapping[str, str] = instance.meta
    return Known(
        id=handler_id(instance.id),
        url=public_url(meta.get("public_url") or instance.url),
        path=path(meta.get("path") or "/ws"),
        capacity=capacity(meta["capacity"]) if "capacity" in meta else None,
        weight=max(1, instance.weight),
        healthy=usable,
        draining=instance.health is Health.MAINTENANCE,
        speaks=meta.get("sdk") == "1",
    )
