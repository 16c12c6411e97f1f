"""What browsers are told."""

from typing import Any

import pytest

from gateway.cors import answer_headers, is_preflight, preflight_headers
from gateway.settings import CorsSettings

PAGE = "https://chat.example.org"


def cors(*origins: str, **more: Any) -> CorsSettings:
    return CorsSettings.model_validate({"origins": origins, **more})


def test_without_origins_nothing_is_said() -> None:
    assert answer_headers(cors(), PAGE) == ()
    assert preflight_headers(cors(), PAGE, "GET", None) == ()


def test_a_listed_origin_is_named() -> None:
    found = dict(answer_headers(cors(PAGE), PAGE))
    assert found["Access-Control-Allow-Origin"] == PAGE
    assert found["Vary"] == "Origin"
    assert "X-RateLimit-Remaining" in found["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in found


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", PAGE + ".evil.example", PAGE.upper(), "", None]
)
def test_any_other_origin_gets_nothing_but_vary(origin: str | None) -> None:
    assert answer_headers(cors(PAGE), origin) == (("Vary", "Origin"),)
    assert [name for name, _ in preflight_headers(cors(PAGE), origin, "GET", None)] == ["Vary"]


def test_a_star_is_a_star_and_no_echo() -> None:
    found = dict(answer_headers(cors("*"), PAGE))
    assert found["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in found
    assert answer_headers(cors("*"), None) == ()


def test_credentials_go_to_listed_origins_only() -> None:
    settings = cors(PAGE, credentials=True)
    assert dict(answer_headers(settings, PAGE))["Access-Control-Allow-Credentials"] == "true"
    assert dict(preflight_headers(settings, PAGE, "GET", None))["Access-Control-Allow-Credentials"] == "true"
    assert answer_headers(settings, "https://evil.example") == (("Vary", "Origin"),)


def test_what_a_preflight_asks_for_is_allowed_when_nothing_is_configured() -> None:
    found = dict(preflight_headers(cors(PAGE), PAGE, "PROPFIND", "token, X-Client-Id"))
    assert found["Access-Control-Allow-Headers"] == "token, X-Client-Id"
    assert found["Access-Control-Allow-Methods"].split(", ")[-1] == "PROPFIND"
    assert found["Access-Control-Max-Age"] == "600"
    assert "Access-Control-Request-Headers" in found["Vary"]


def test_what_is_configured_is_all_that_is_allowed() -> None:
    settings = cors(PAGE, methods=["GET", "POST"], headers=["token"], max_age_s=5)
    found = dict(preflight_headers(settings, PAGE, "POST", "x-other"))
    assert found["Access-Control-Allow-Methods"] == "GET, POST"
    assert found["Access-Control-Allow-Headers"] == "token"
    assert found["Access-Control-Max-Age"] == "5"
    assert [name for name, _ in preflight_headers(settings, PAGE, "PUT", None)] == ["Vary"]


@pytest.mark.parametrize("asked", [None, "", "a\r\nX: y", "a b", "é", ",", "a" * 2000])
def test_header_names_that_are_none_are_not_echoed(asked: str | None) -> None:
    assert "Access-Control-Allow-Headers" not in dict(preflight_headers(cors(PAGE), PAGE, "GET", asked))


@pytest.mark.parametrize("asked", [None, "get", "G\r\nX: y", "TRACE", "CONNECT"])
def test_a_method_that_is_never_carried_is_not_allowed(asked: str | None) -> None:
    assert [name for name, _ in preflight_headers(cors(PAGE), PAGE, asked, None)] == ["Vary"]


def test_what_a_preflight_is() -> None:
    assert is_preflight("OPTIONS", PAGE, "GET")
    assert not is_preflight("OPTIONS", None, "GET")
    assert not is_preflight("OPTIONS", PAGE, None)
    assert not is_preflight("GET", PAGE, "GET")
