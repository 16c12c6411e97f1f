"""Calls that a measurement makes to set its stage: registrations, hellos, reports."""

import http.client
import json
from typing import Any


class Refused(Exception):
    """A call that sets the stage was answered with an error."""


def call(port: int, method: str, path: str, document: dict[str, Any] | None = None) -> Any:
    """The JSON of an answer, `None` when it has none. Raises `Refused` and `OSError`."""
    content = _answer(port, method, path, None if document is None else json.dumps(document))
    return json.loads(content) if content.strip() else None


def text(port: int, path: str) -> str:
    """The text of an answer. Raises `Refused` and `OSError`."""
    return _answer(port, "GET", path, None).decode()


def _answer(port: int, method: str, path: str, body: str | None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    except http.client.HTTPException as error:
        raise Refused(f"{method} {path}: {error!r}") from error
    finally:
        connection.close()
    if answer.status >= 300:
        raise Refused(f"{method} {path}: {answer.status} {content[:200]!r}")
    return content


def get(port: int, path: str, headers: dict[str, str] | None = None) -> int:
    """The status of an answer; 0 when there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return 0
    else:
        return answer.status
    finally:
        connection.close()
