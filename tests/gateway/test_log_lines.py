"""Whatever stands in a request, its line is one line, and says the same again when it is read."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.log_lines import json_line, shared_part, text_line

NOW = datetime(2026, 11, 21, 18, 30, 0, 123000, tzinfo=UTC)
ANY_TEXT = st.text(st.characters(), max_size=30)
"""Half surrogates too: `sub` of a token may hold one."""
HARMFUL = "\n\r\x00\x1b\x7f\x9b\x85\u2028\u2029"


def line_of(**changed: Any) -> bytes:
    values: dict[str, Any] = {
        "service": "gateway",
        "level": "info",
        "method": "GET",
        "path": "/",
        "route": "/",
        "status": 200,
        "reason": None,
        "client": "10.0.0.1",
        "user": None,
        "tier": None,
        "upstream": "auth",
        "instance": "auth-1",
        "attempts": 1,
        "version": None,
        "cache": None,
    }
    shared = shared_part(*(values | changed).values())
    return json_line(NOW, "request-1", 0.0123456, 10, 20, None, shared)


def test_a_line_begins_with_what_is_its_requests_own() -> None:
    line = line_of()
    assert line.startswith(b'{"timestamp":"2026-11-21T18:30:00.123000Z","request_id":"request-1",')
    assert line.endswith(b"}\n")
    read = orjson.loads(line)
    assert (read["duration_ms"], read["bytes_in"], read["bytes_out"]) == (12.345, 10, 20)


def test_what_is_rare_stands_there_when_there_is_some() -> None:
    line = json_line(NOW, "request-1", 0.0, 0, 0, {"decision": 5}, b'"level":"info"}\n')
    assert orjson.loads(line)["decision"] == 5


@given(path=ANY_TEXT, user=ANY_TEXT, instance=ANY_TEXT, reason=ANY_TEXT)
def test_a_line_of_json_is_one_line_of_what_was_said(
    path: str, user: str, instance: str, reason: str
) -> None:
    line = line_of(path=path, user=user, instance=instance, reason=reason)
    assert len(line.decode().splitlines()) == 1
    assert not set(line.decode().removesuffix("\n")) & set(HARMFUL)
    read = orjson.loads(line)
    for name, value in {"path": path, "user": user, "instance": instance, "reason": reason}.items():
        assert read[name] == value.encode(errors="backslashreplace").decode()


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_a_line_for_people_is_one_line(path: str, reason: str, instance: str) -> None:
    line = text_line(
        NOW.isoformat(), "GET", path, 200, 0.1, reason=reason, instance=instance, attempts=1, decision=0
    )
    text = line.decode()
    assert len(text.splitlines()) == 1
    assert text.removesuffix("\n").isprintable()


@pytest.mark.parametrize("path", ["/a\nb", "/\x1b[31m", "/\x9b31m", "/\u2028", "/\ud800"])
def test_what_could_do_harm_is_written_as_an_escape(path: str) -> None:
    text = text_line(
        NOW.isoformat(), "GET", path, 200, 0.1, reason=None, instance=None, attempts=1, decision=0
    )
    assert text.isascii()
    assert line_of(path=path).isascii()
