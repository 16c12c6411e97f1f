"""What browsers are told."""

from typing import Any

import pytest

from gateway.cors import Cors, is_preflight
from gateway.settings import CorsSettings

PAGE = "https://chat.example.org"


def cors(*origins: str, **more: Any) -> Cors:
    return Cors(CorsSettings.model_validate({"origins": origins, **more}))


def test_a_listed_origin_is_named() -> None:
    found = dict(cors(PAGE).answer_headers(PAGE))
    assert found["Access-Control-Allow-Origin"] == PAGE
    assert found["Vary"] == "Origin"
    assert "X-RateLimit-Remaining" in found["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in found


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", PAGE + ".evil.example", PAGE.upper(), "", None]
)
def test_any_other_origin_gets_nothing_but_vary(origin: str | None) -> None:
    assert cors(PAGE).answer_headers(origin) == (("Vary", "Origin"),)
    assert [name for name, _ in cors(PAGE).preflight_headers(origin, "GET", None)] == ["Vary"]


def test_a_star_is_a_star_and_no_echo() -> None:
    found = dict(cors("*").answer_headers(PAGE))
    assert found["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in found
    assert cors("*").answer_headers(None) == cors("*").answer_headers(PAGE), "for caches"


def test_credentials_go_to_listed_origins_only() -> None:
    settings = cors(PAGE, credentials=True)
    assert dict(settings.answer_headers(PAGE))["Access-Control-Allow-Credentials"] == "true"
    assert dict(settings.preflight_headers(PAGE, "GET", None))["Access-Control-Allow-Credentials"] == "true"
    assert settings.answer_headers("https://evil.example") == (("Vary", "Origin"),)


BELOW = ("https://*.example.org", "http://*.dev.example.org:8080")


@pytest.mark.parametrize(
    "origin",
    [
        "https://a.example.org",
        "https://a.b-c.example.org",
        "https://xn--bcher-kva.example.org",
        "http://a.dev.example.org:8080",
    ],
)
def test_names_below_a_listed_one_are_answered(origin: str) -> None:
    assert dict(cors(*BELOW).answer_headers(origin))["Access-Control-Allow-Origin"] == origin
    assert dict(cors(*BELOW).preflight_headers(origin, "GET", None))["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.org",
        "https://.example.org",
        "https://a..example.org",
        "https://evilexample.org",
        "https://a.example.org.evil.example",
        "https://evil.example/.example.org",
        "https://evil.example#.example.org",
        "https://evil.example?.example.org",
        "https://evil.example:80.example.org",
        "https://user@a.example.org",
        "https://evil.example\\.example.org",
        "https://a.example.org:8443",
        "http://a.example.org",
        "http://a.dev.example.org",
        "HTTPS://A.EXAMPLE.ORG",
        "https://a.example.org ",
        "https://*.example.org\n",
        "https://é.example.org",
        "https://" + "a." * 40 + "example.org",
        "null",
    ],
)
def test_what_only_looks_like_a_name_below_is_not(origin: str) -> None:
    assert cors(*BELOW).answer_headers(origin) == (("Vary", "Origin"),)


def test_headers_of_instances_are_shown_to_pages_as_configured() -> None:
    found = dict(cors(PAGE, expose=["X-Total-Count"]).answer_headers(PAGE))
    assert found["Access-Control-Expose-Headers"].endswith("X-RateLimit-Policy, X-Total-Count")


def test_what_a_preflight_asks_for_is_allowed_when_nothing_is_configured() -> None:
    found = dict(cors(PAGE).preflight_headers(PAGE, "PROPFIND", "token, X-Client-Id"))
    assert found["Access-Control-Allow-Headers"] == "token, X-Client-Id"
    assert found["Access-Control-Allow-Methods"].split(", ")[-1] == "PROPFIND"
    assert found["Access-Control-Max-Age"] == "600"
    assert "Access-Control-Request-Headers" in found["Vary"]


def test_what_is_configured_is_all_that_is_allowed() -> None:
    settings = cors(PAGE, methods=["GET", "POST"], headers=["token"], max_age_s=5)
    found = dict(settings.preflight_headers(PAGE, "POST", "x-other"))
    assert found["Access-Control-Allow-Methods"] == "GET, POST"
    assert found["Access-Control-Allow-Headers"] == "token"
    assert found["Access-Control-Max-Age"] == "5"
    assert [name for name, _ in settings.preflight_headers(PAGE, "PUT", None)] == ["Vary"]


@pytest.mark.parametrize("asked", [None, "", "a\r\nX: y", "a b", "é", ",", "a" * 2000])
def test_header_names_that_are_none_are_not_echoed(asked: str | None) -> None:
    assert "Access-Control-Allow-Headers" not in dict(cors(PAGE).preflight_headers(PAGE, "GET", asked))


@pytest.mark.parametrize("asked", [None, "get", "G\r\nX: y", "TRACE", "CONNECT"])
def test_a_method_that_is_never_carried_is_not_allowed(asked: str | None) -> None:
    assert [name for name, _ in cors(PAGE).preflight_headers(PAGE, asked, None)] == ["Vary"]


def test_what_a_preflight_is() -> None:
    assert is_preflight(PAGE, "GET")
    assert not is_preflight(None, "GET")
    assert not is_preflight(PAGE, None)
