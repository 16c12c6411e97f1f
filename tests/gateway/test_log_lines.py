"""Whatever stands in a request, its line is one line, and says the same again when it is read."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.log_lines import shared_part, text_line

NOW = "2026-11-21T18:30:00.123Z"
ANY_TEXT = st.text(st.characters(), max_size=30)
"""Half surrogates too: `sub` of a token may hold one."""
HARMFUL = "\n\r\x00\x1b\x7f\x9b\x85\u2028\u2029"


def line_of(**changed: Any) -> bytes:
    values: dict[str, Any] = {
        "ours": "gateway",
        "level": "info",
        "method": "GET",
        "path": "/",
        "route": "/",
        "status": 200,
        "reason": None,
        "client": "10.0.0.1",
        "user": None,
        "tier": None,
        "service": "auth",
        "instance": "auth-1",
        "attempts": 1,
        "version": None,
        "cache": None,
    }
    return b"{" + shared_part(*(values | changed).values()).removeprefix(b",")


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
    line = text_line(NOW, "GET", path, 200, 0.1, reason=reason, instance=instance, attempts=1, decision=0)
    text = line.decode()
    assert len(text.splitlines()) == 1
    assert text.removesuffix("\n").isprintable()


@pytest.mark.parametrize("path", ["/a\nb", "/\x1b[31m", "/\x9b31m", "/\u2028", "/\ud800"])
def test_what_could_do_harm_is_written_as_an_escape(path: str) -> None:
    text = text_line(NOW, "GET", path, 200, 0.1, reason=None, instance=None, attempts=1, decision=0)
    assert text.isascii()
    assert line_of(path=path).isascii()
