"""Settings read whole: all of them, or every problem at once."""

import json
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from balancer.model import RetryClass, Timeouts
from balancer.strategies import STRATEGIES
from gateway.settings import Problems, Settings, json_schema, load_settings

SECRET = "a secret of no less than 32 bytes"
ENVIRONMENT = {"JWT_SECRET": SECRET}


def good(text: str | None, *overrides: tuple[str, str], **environment: str) -> Settings:
    found = load_settings(text, environment={**ENVIRONMENT, **environment}, overrides=overrides)
    assert isinstance(found, Settings), str(found)
    return found


def bad(text: str | None, *overrides: tuple[str, str], **environment: str) -> dict[str, str]:
    found = load_settings(text, environment=environment, overrides=overrides)
    assert isinstance(found, Problems), found
    return {problem.key: problem.message for problem in found.items}


def test_without_a_file_the_chat_system_is_served() -> None:
    settings = good(None)
    assert (settings.listen.host, settings.listen.port) == ("127.0.0.1", 8000)
    assert settings.registry.backend == "embedded"
    assert settings.handlers is not None
    assert settings.handlers.service == "websocket-handler"
    assert settings.handout_ttl_s == 10
    assert {name: service.strategy for name, service in settings.services.items()} == {
        "auth": "least_connections",
        "matching": "round_robin",
    }
    assert [(r.path, r.methods, r.service, r.access, r.retry) for r in settings.routes] == [
        ("/register", ("POST",), "auth", "public", "unsent"),
        ("/login", ("POST",), "auth", "public", "unsent"),
        ("/token_login", ("POST",), "auth", "public", "safe"),
        ("/token_check", ("GET",), "auth", "public", "safe"),
        ("/matching", ("POST",), "matching", "user", "unsent"),
    ]
    assert settings == Settings.model_validate({"identity": {"secret": SECRET}})


def test_the_designs_own_example_is_good() -> None:
    settings = good(
        """
        listen: {host: 127.0.0.1, port: 8000, trusted_proxies: []}
        registry:
          {backend: embedded, address: "127.0.0.1:8500", token: "${CONSUL_HTTP_TOKEN:-}", data_dir: null,
           allowed_networks: []}
        store: {backend: memory, url: "redis://127.0.0.1:6379/0"}
        identity: {algorithms: [HS256], secret: "${JWT_SECRET:-}", user_claim: [sub, uid, user_id]}
        internal: {networks: [127.0.0.0/8, "::1/128"], key: "${INTERNAL_KEY:-}"}
        services:
          auth:     {strategy: least_connections}
          matching:
            {strategy: round_robin, timeouts: {connect_s: 1, first_byte_s: 10, idle_s: 30, total_s: 60}}
          legacy:   {strategy: round_robin, instances: ["http://127.0.0.1:9101"]}
        routes:
          - {path: /register, methods: [POST], service: auth, access: public, retry: unsent}
          - {path: /matching, methods: [POST], service: matching, access: user, retry: unsent}
          - {path: "/users/{id}", methods: [GET], service: legacy, access: user, rewrite: "/v2/{id}"}
        handlers:
          {service: websocket-handler, capacity: 1000, secret: "${HANDLER_SECRET:-}", guaranteed_s: 12,
           ticket_s: 60}
        limits:
          {window_s: 60, per_address: 1000, per_user: 1000, tiers: {free: 60, premium: 120, elite: null}}
        cors: {origins: [], methods: [], headers: [], credentials: false, max_age_s: 600}
        logging: {level: info, format: json}
        """
    )
    assert settings.registry.backend_settings(settings.fixed_addresses()).static == {
        "legacy": ("http://127.0.0.1:9101",)
    }
    assert settings.limits.tiers == {"free": 60, "premium": 120, "elite": None}
    assert settings.registry.token is None


def test_three_mistakes_are_three_problems() -> None:
    problems = bad(
        """
        listen: {port: 123456}
        services: {auth: {strategy: least_conections}}
        routes: [{path: /login, service: oauth, access: public}]
        handlers: null
        """
    )
    assert set(problems) == {"listen.port", "services.auth.strategy", "routes[0].service"}
    assert "65535" in problems["listen.port"]
    assert "did you mean least_connections?" in problems["services.auth.strategy"]
    assert "did you mean auth?" in problems["routes[0].service"]


def test_many_mistakes_of_every_kind_at_once() -> None:
    problems = bad(
        """
        listen: {prot: 1}
        registry: {scheme: ftp}
        services: {a: {timeouts: {connect_s: -1}}, "b/c": {}}
        routes:
          - {path: /ping, service: a, access: public}
          - {service: a, access: public}
          - {path: /x, service: a, access: public, set_headers: {X-Key: "${NOT_SET}"}}
        """,
        ("listen.port", "true"),
        QUAYMASTER__CORS__MAX_AGE_S="-1",
    )
    assert set(problems) == {
        "listen.prot",
        "listen.port",
        "registry.scheme",
        "services.a.timeouts.connect_s",
        "services.b/c",
        "routes[0].path",
        "routes[1].path",
        "routes[2].set_headers.X-Key",
        "cors.max_age_s",
        "identity.secret",
    }
    assert problems["routes[1].path"] == "is required"
    assert problems["listen.prot"].startswith("there is no such key; did you mean port?")
    assert problems["listen.port"].endswith("(set by --set listen.port)")
    assert problems["cors.max_age_s"].endswith("(set by QUAYMASTER__CORS__MAX_AGE_S)")
    assert "the handlers pool" in problems["identity.secret"]


def test_problems_read_as_lines() -> None:
    found = load_settings("listen: {port: x}\nhandlers: null\nroutes: []", environment={})
    assert str(found).startswith("listen.port: must be a whole number")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("limits: {window_s: 60s}", "limits.window_s: must be a number, without a unit"),
        ("limits: {window_s: [60]}", "limits.window_s: must be a number, without a unit"),
        ("limits: {per_address: 1.5}", "limits.per_address: must be a whole number"),
        ("listen: {port: [1]}", "listen.port: must be a whole number"),
        ("listen: {process_time: maybe}", "listen.process_time: must be true or false"),
        ("listen: {host: 127}", "listen.host: must be text: put it in quotes"),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_in_plain_words(text: str, message: str) -> None:
    assert str(load_settings(f"{text}\nhandlers: null\nroutes: []", environment={})) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "line 1, column 5"),
        ("listen: {}\nlisten: {}", "line 2, column 1: the key 'listen' stands there twice"),
        ("[1, 2]", "must be a mapping of sections"),
        ("just text", "must be a mapping of sections"),
        ("8000: x", "a key must be text"),
        ("!!python/object:os.system {}", "this tag is not used here"),
        ("a: \x00", "a character that no YAML text may hold"),
        ("a: " + "[" * 600, "nested too deeply"),
    ],
)
def test_a_text_that_is_no_settings(text: str, message: str) -> None:
    assert message in bad(text)[""]


def test_an_empty_file_is_no_file() -> None:
    assert good("") == good("# nothing\n") == good(None)


def test_a_file_that_brings_services_or_routes_brings_both() -> None:
    assert good("services: {a: {}}").routes == ()
    assert set(bad("routes: [{path: /x, service: auth, access: public}]", JWT_SECRET=SECRET)) == {
        "routes[0].service"
    }
    assert len(good("listen: {port: 1}").routes) == 5


def test_secrets_come_from_their_variables() -> None:
    settings = good(None, INTERNAL_KEY="k" * 16, HANDLER_SECRET="h" * 32, CONSUL_HTTP_TOKEN="t")
    assert settings.identity.secret is not None
    assert settings.identity.secret.get_secret_value() == SECRET
    assert settings.internal.key is not None
    assert settings.handlers is not None
    assert settings.handlers.secret is not None
    assert settings.registry.backend_settings({}).token == "t"
    assert bad(None, JWT_SECRET="short") == {
        "identity.secret": "is 5 bytes long and must have at least 32 (from JWT_SECRET)"
    }
    assert good("handlers: null").handlers is None


def test_a_variable_of_another_algorithm_does_not_disturb() -> None:
    problems = bad("identity: {algorithms: [RS256]}", JWT_SECRET=SECRET)
    assert set(problems) == {"identity.public_key"}
    assert "public_key_file" in problems["identity.public_key"]
    settings = good("identity: {algorithms: [RS256], public_key_file: /run/key.pem}")
    assert settings.identity.secret is None


def test_no_secret_is_ever_shown() -> None:
    canary = "canary-" + "x" * 32
    settings = good(
        f"""
        registry: {{token: {canary}}}
        store: {{url: "redis://:{canary}@127.0.0.1/0"}}
        identity: {{secret: {canary}}}
        internal: {{key: {canary}}}
        handlers: {{secret: {canary}}}
        services: {{a: {{}}}}
        routes: [{{path: /a, service: a, access: public, set_headers: {{X-Key: {canary}}}}}]
        """
    )
    assert canary not in repr(settings) + str(settings) + settings.model_dump_json()
    assert settings.routes[0].header_pairs() == [(b"X-Key", canary.encode())]


@pytest.mark.parametrize(
    "text",
    [
        "identity: {secret: canary}",
        "identity: {secret: [canary]}",
        "identity: {secret: {canary: canary-too}}",
        "internal: {key: canary}",
        "handlers: {secret: canary}",
        'routes: [{path: /a, service: a, set_headers: {X-Key: "canary\\n"}}]',
        "identity: {public_key: canary, algorithms: [RS256]}",
        "registry: {token: canary, token: canary}",
        "registry: {token: canary",
        "registry: {token: !!int canary}",
        "registry: {token: ['canary'}",
        'store: {url: ["canary"]}',
        "services: {a: {instances: ['http://user:canary@host:1']}}",
    ],
)
def test_no_problem_quotes_a_secret(text: str) -> None:
    found = load_settings(text, environment={})
    assert isinstance(found, Problems)
    assert "canary" not in str(found).replace("identity.secret.canary", "")


def test_overrides_beat_the_environment_and_that_the_file() -> None:
    text = "listen: {port: 1, host: a}\nlogging: {level: error}"
    settings = good(text, ("listen.port", "3"), QUAYMASTER__LISTEN__PORT="2", QUAYMASTER__LISTEN__HOST="b")
    assert (settings.listen.port, settings.listen.host, settings.logging.level) == (3, "b", "error")


def test_overrides_reach_the_defaults() -> None:
    settings = good(None, ("routes[4].access", "public"), QUAYMASTER__SERVICES__AUTH__STRATEGY="round_robin")
    assert settings.services["auth"].strategy == "round_robin"
    assert settings.routes[4].access == "public"
    assert good(None, ("handlers", "null")).handlers is None
    assert good(None).services["auth"].strategy == "least_connections", "the defaults are untouched"


def test_settings_never_change() -> None:
    settings = good(None)
    with pytest.raises(ValidationError):
        settings.listen.port = 1


def test_a_policy_takes_each_timeout_from_the_nearest_level() -> None:
    settings = good(
        """
        services: {a: {max_attempts: 2, timeouts: {connect_s: 0.5, first_byte_s: 20}}}
        routes:
          - {path: /a, service: a, access: public, timeouts: {total_s: 10}}
          - {path: /b, service: a, access: public, retry: never}
        """
    )
    policy = settings.policy(settings.routes[0], "POST")
    assert policy.timeouts == Timeouts(connect_s=0.5, first_byte_s=10, idle_s=10, total_s=10)
    assert (policy.service, policy.max_attempts, policy.retry) == ("a", 2, RetryClass.UNSENT)
    assert settings.policy(settings.routes[0], "GET").retry is RetryClass.SAFE
    assert settings.policy(settings.routes[1], "GET").retry is RetryClass.NEVER
    assert settings.policy(settings.routes[1], "GET").timeouts.first_byte_s == 20


def test_the_body_limit_of_a_route() -> None:
    settings = good(
        """
        listen: {max_body_bytes: 100}
        services: {a: {}}
        routes:
          - {path: /a, service: a, access: public}
          - {path: /b, service: a, access: public, max_body_bytes: 0}
        """
    )
    assert [settings.body_limit(route) for route in settings.routes] == [100, 0]


def test_the_schema_knows_the_tables_and_the_texts() -> None:
    schema = json_schema()
    strategy = schema["$defs"]["ServiceSettings"]["properties"]["strategy"]
    assert strategy["anyOf"][0]["enum"] == sorted(STRATEGIES)
    assert schema["$defs"]["ListenSettings"]["additionalProperties"] is False
    assert schema["$defs"]["ListenSettings"]["properties"]["drain_s"]["description"].startswith("How long")
    assert set(schema["properties"]) == set(Settings.model_fields)
    json.dumps(schema)


def test_the_schema_lets_a_number_come_from_the_environment() -> None:
    port = json_schema()["$defs"]["ListenSettings"]["properties"]["port"]
    assert port["anyOf"][1] == {"type": "string", "pattern": r"\$\{"}
    assert port["default"] == 8000


KEYS = st.sampled_from(
    [
        *Settings.model_fields,
        "port",
        "path",
        "service",
        "auth",
        "a",
        "strategy",
        "timeouts",
        "total_s",
        "secret",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["/x", "auth"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES))
@hypothesis.settings(max_examples=50)
def test_any_document_is_settings_or_problems(data: dict[str, Any]) -> None:
    found = load_settings(yaml.safe_dump(data), environment=ENVIRONMENT)
    assert isinstance(found, Settings) or found.items


@given(
    st.text(alphabet=st.sampled_from("a:[]{}&*!|>-'\"\n ,#%@`?$1.e\t\x00é\ud800"), max_size=40) | st.text()
)
def test_any_text_is_settings_or_problems(text: str) -> None:
    found = load_settings(text, environment=ENVIRONMENT)
    assert isinstance(found, Settings) or found.items


@given(
    st.lists(
        st.tuples(st.text(max_size=20) | st.sampled_from(["routes[0]", "listen.port", "a..b"]), st.text())
    ),
    st.dictionaries(st.text(max_size=10).map("QUAYMASTER__".__add__), st.text()),
)
@hypothesis.settings(max_examples=50)
def test_any_override_is_settings_or_problems(
    overrides: list[tuple[str, str]], environment: dict[str, str]
) -> None:
    found = load_settings(None, environment={**ENVIRONMENT, **environment}, overrides=overrides)
    assert isinstance(found, Settings) or found.items
