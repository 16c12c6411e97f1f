"""In a process of its own: how a process logs is set up once."""

import json
import subprocess
import sys

import pytest

SPEAKS = """
import logging, structlog
from gateway.runtime.logs import configure_logging
configure_logging({level!r}, {form!r})
log = structlog.get_logger()
log.info("said", service="auth", where={{"a": 1}})
log.warning("warned")
def fails(token):
    raise ValueError("inside")
try:
    fails("can" + "ary")
except ValueError:
    log.exception("failed")
logging.getLogger("aiohttp.server").error("GET /?token=canary")
logging.getLogger("other").warning("a library's word")
"""


def spoken(level: str, form: str) -> list[str]:
    program = SPEAKS.format(level=level, form=form)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "", "events go to stderr: stdout is the access log's"
    return ran.stderr.splitlines()


def test_json_is_one_object_a_line() -> None:
    lines = spoken("info", "json")
    events = [json.loads(line) for line in lines if line.startswith("{")]
    assert [event["event"] for event in events] == ["said", "warned", "failed"]
    assert events[0]["service"] == "auth"
    assert "ValueError: inside" in events[2]["exception"]


def test_a_level_silences_what_is_below_it() -> None:
    events = [json.loads(line) for line in spoken("warning", "json") if line.startswith("{")]
    assert [event["event"] for event in events] == ["warned", "failed"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_where_it_failed_and_no_value_that_stood_there(form: str) -> None:
    text = "\n".join(spoken("info", form))
    assert "ValueError: inside" in text
    assert "canary" not in text


@pytest.mark.parametrize("form", ["json", "console"])
def test_aiohttps_own_words_are_not_logged(form: str) -> None:
    text = "\n".join(spoken("debug", form))
    assert "canary" not in text
    assert "a library's word" in text


def test_people_get_text() -> None:
    text = "\n".join(spoken("info", "console"))
    assert "said" in text
    assert "service" in text
    assert not text.startswith("{")


def test_another_level_holds_for_loggers_in_use_too() -> None:
    program = """
import structlog
from gateway.runtime.logs import change_level, configure_logging
configure_logging("info", "json")
log = structlog.get_logger()
log.debug("unheard")
log.info("heard")
change_level("error")
log.warning("silenced")
change_level("debug")
log.debug("heard again")
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert [json.loads(line)["event"] for line in ran.stderr.splitlines()] == ["heard", "heard again"]
