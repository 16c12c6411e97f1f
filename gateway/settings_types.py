"""The kinds of values that settings are made of, each with a message that says what to write.

Rules of this file: a validator gets one value and raises `ValueError` with words that follow a key path
("listen.port: …"). It never quotes the value of a secret.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    WithJsonSchema,
)
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function

from gateway.probes import PORTS, PROBES, SCHEMES
from gateway.target import path_is_carried, split_host
from registry.names import is_service_name

MIN_SECRET_BYTES = 32
"""HS256 makes 32-byte signatures; a shorter key is easier to guess than a signature (RFC 7518, 3.2)."""

REDIS_TIMES = ("socket_connect_timeout", "socket_timeout")
REDIS_OPTIONS = {*REDIS_TIMES, "db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}
"""What of redis-py's connection may stand in the URL of a store."""

Network = IPv4Network | IPv6Network


class Section(BaseModel):
    """The base of every level: frozen, unknown keys refused, defaults as valid as what is written.

    The text under a key is its description in the schema.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`known: a, b`, after the nearest of them if one is near."""
    names = sorted(known)
    near = get_close_matches(name.lower(), names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}known: {', '.join(names) or 'none'}"


@dataclass(frozen=True, slots=True)
class OneOf:
    """A name of a table. The table is also the schema's enum, so a new entry is known everywhere."""

    table: Collection[str]
    word: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "enum": sorted(self.table)}

    def _check(self, name: str) -> str:
        if name not in self.table:
            raise ValueError(f"{name!r} is no {self.word}; {did_you_mean(name, self.table)}")
        return name


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


def _matching(pattern: re.Pattern[str], message: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(message)
        return text

    return check


def _service_name(text: str) -> str:
    if not is_service_name(text):
        raise ValueError(
            "must be 1 to 128 letters, digits, dots, hyphens or underscores, a letter or digit first"
        )
    return text


def _empty_is_unset(value: object) -> object:
    """`${NAME:-}` of an unset variable is empty text: nobody has set it."""
    return None if value == "" else value


def _network(value: object) -> Network:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a network such as 10.0.0.0/8")
    try:
        return ip_network(value)
    except ValueError:
        pass
    try:
        meant = ip_network(value, strict=False)
    except ValueError:
        raise ValueError(f"{value!r} is no network: write 10.0.0.0/8 or ::1/128") from None
    raise ValueError(f"{value!r} has bits set behind its mask; did you mean {meant}?")


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    found = split_host(host)
    if found is None or found[1] is not None or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65_535:
        raise ValueError("must be host:port, such as 127.0.0.1:8500")
    return value


def _host(value: str | None) -> str | None:
    if value is None:
        return None
    found = split_host(f"[{value}]" if ":" in value else value)
    if found is None or found[1] is not None:
        raise ValueError("must be a host name or an address, without a port")
    return value


def _instance_url(value: str) -> str:
    fix = "must be http://host:port with nothing behind the port"
    try:
        url = urlsplit(value)
    except ValueError:
        raise ValueError(fix) from None
    found = split_host(url.netloc)
    if url.scheme not in ("http", "https") or url.path or url.query or url.fragment:
        raise ValueError(fix)
    if found is None or found[1] is None:
        raise ValueError(fix)
    return value


def _origin(value: str) -> str:
    if value == "*":
        return value
    scheme, _, authority = value.partition("://")
    named = authority.removeprefix("*.")
    if scheme not in ("http", "https") or split_host(named) is None or authority != authority.lower():
        raise ValueError(
            f"{value!r} is no origin: write https://example.org (no path, lower case), "
            "https://*.example.org for its subdomains, or *"
        )
    return value


def _allowed_host(value: str) -> str:
    found = split_host(value.removeprefix("*."))
    if found is None or found[1] is not None or value != value.lower():
        raise ValueError(
            f"{value!r} is no host: write api.example.org (lower case, without a port), "
            "or *.example.org for its subdomains"
        )
    return value


def _local_path(value: str) -> str:
    if not path_is_carried(value) or any(mark in value for mark in "%*{}"):
        raise ValueError("must be a plain path, such as /api/health/")
    return value


def _instance_path(value: str) -> str:
    if not re.fullmatch("/[!-~]*", value):
        raise ValueError("must be a path, such as /health: the instances have their own addresses")
    return value


def _http_url(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        url = urlsplit(value)
        found = split_host(url.netloc)
    except ValueError:
        found = None
    if found is None or url.scheme not in ("http", "https") or url.fragment or not value.isprintable():
        raise ValueError("must be http://host:port/path or https://…, without user or password")
    return value


def _probe_url(secret: SecretStr | None) -> SecretStr | None:
    if secret is None:
        return None
    try:
        url = urlsplit(secret.get_secret_value())
        # SQLAlchemy's `postgresql+asyncpg` names its driver, which makes no difference to the server.
        scheme, has_place = url.scheme.partition("+")[0], bool(url.hostname) and url.port != 0
    except ValueError:
        scheme, has_place = "", False
    known = scheme in PROBES or scheme in SCHEMES
    if not known or not has_place or (scheme not in PORTS and url.port is None):
        raise ValueError("must be tcp://host:port, http(s)://…, redis(s)://… or postgresql://host:5432/name")
    return secret


def header_value_problem(text: str) -> str | None:
    """What is wrong with a header's value; `None` if nothing is."""
    if not text.isascii() or not text.isprintable() or text != text.strip():
        return "must be printable ASCII without spaces at its ends"
    return None


def _public_url(value: str) -> str:
    scheme, _, authority = value.partition("://")
    if scheme not in ("http", "https") or split_host(authority) is None:
        raise ValueError("must be like https://chat.example.org, with nothing behind the host and port")
    return value


def _redis_url(secret: SecretStr) -> SecretStr:
    fix = "must be redis://host:6379/0, rediss:// for TLS, or unix:///path/to/socket"
    try:
        url = urlsplit(secret.get_secret_value())
        reachable = url.port != 0 and bool(url.path if url.scheme == "unix" else url.hostname)
        options = dict(parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
    except ValueError:
        raise ValueError(fix) from None
    database = url.path.removeprefix("/") if url.scheme != "unix" else ""
    if url.scheme not in ("redis", "rediss", "unix") or not reachable or not (database or "0").isdecimal():
        raise ValueError(fix)
    if unknown := sorted(options.keys() - REDIS_OPTIONS):
        raise ValueError(f"has no option {unknown[0]!r}; {did_you_mean(unknown[0], REDIS_OPTIONS)}")
    if not all(re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,6})?", options.get(name, "1")) for name in REDIS_TIMES):
        raise ValueError(f"{' and '.join(REDIS_TIMES)} are seconds")
    return secret


def _one_status(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _status_range(text: str) -> str:
    first, dash, last = text.partition("-")
    if not re.fullmatch("[1-5][0-9]{2}", first) or (dash and not re.fullmatch("[1-5][0-9]{2}", last)):
        raise ValueError("must be a status such as 204, or a range such as 200-299")
    if dash and last < first:
        raise ValueError(f"ends before it begins; did you mean {last}-{first}?")
    return text


def _long_enough(secret: SecretStr) -> SecretStr:
    size = len(secret.get_secret_value().encode())
    if size < MIN_SECRET_BYTES:
        raise ValueError(f"is {size} bytes long and must have at least {MIN_SECRET_BYTES}")
    return secret


def _some(values: tuple[object, ...]) -> tuple[object, ...]:
    if not values:
        raise ValueError("must name at least one")
    return values


def _listed(value: object) -> object:
    """`a, b` is a list of two: environment variables hold text. Empty text is an empty list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def without_empty(value: object) -> object:
    """`${NAME:-}` of an unset variable is empty text, and names nothing."""
    return [part for part in value if part != ""] if isinstance(value, list) else value


Listed = BeforeValidator(_listed, json_schema_input_type=list[str] | str)

NotEmpty = AfterValidator(_some)
"""`Field(min_length=1)` counts what is valid, so it blames a list for each bad element again."""

Seconds = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, le=86_400)]
SecondsOrZero = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, le=86_400)]
Rate = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, le=10**6)]
"""Per second."""
Share = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, le=1)]
Ratio = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, le=1)]
Percent = Annotated[int, BeforeValidator(_no_bool), Field(ge=0, le=100)]
Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=1, le=10**9)]
CountOrZero = Annotated[int, BeforeValidator(_no_bool), Field(ge=0, le=10**9)]
Bytes = Annotated[int, BeforeValidator(_no_bool), Field(ge=0, le=2**40)]
Port = Annotated[int, BeforeValidator(_no_bool), Field(ge=0, le=65_535)]

Name = Annotated[
    str,
    AfterValidator(_service_name),
]
Header = Annotated[
    str,
    AfterValidator(_matching(re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}"), "must be a header's name")),
]
Method = Annotated[
    str,
    AfterValidator(
        _matching(
            re.compile(r"(?!CONNECT$|TRACE$)[A-Z][A-Z0-9_-]{0,31}"),
            "must be a method in capitals, such as GET; CONNECT and TRACE are never carried",
        )
    ),
]
StatusRange = Annotated[str, BeforeValidator(_one_status), AfterValidator(_status_range)]
Zone = Annotated[
    str,
    AfterValidator(_matching(re.compile(r"[A-Za-z0-9._-]{0,128}"), "must be letters, digits, ., - and _")),
]
Cidr = Annotated[
    Network,
    PlainValidator(_network),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.0/8", "::1/128"]}),
]
Address = Annotated[str, AfterValidator(_address)]
Host = Annotated[str | None, BeforeValidator(_empty_is_unset), AfterValidator(_host)]
InstanceUrl = Annotated[str, AfterValidator(_instance_url)]
Origin = Annotated[str, AfterValidator(_origin)]
AllowedHost = Annotated[str, AfterValidator(_allowed_host)]
LocalPath = Annotated[str, AfterValidator(_local_path)]
InstancePath = Annotated[str, AfterValidator(_instance_path)]
HttpUrl = Annotated[Annotated[str, AfterValidator(_http_url)] | None, BeforeValidator(_empty_is_unset)]
ProbeUrl = Annotated[
    Annotated[SecretStr, AfterValidator(_probe_url)] | None, BeforeValidator(_empty_is_unset)
]
PublicUrl = Annotated[Annotated[str, AfterValidator(_public_url)] | None, BeforeValidator(_empty_is_unset)]
Text = Annotated[str | None, BeforeValidator(_empty_is_unset)]
Secret = Annotated[SecretStr | None, BeforeValidator(_empty_is_unset)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
CacheUrl = Annotated[RedisUrl | None, BeforeValidator(_empty_is_unset)]
LongSecret = Annotated[
    Annotated[SecretStr, AfterValidator(_long_enough)] | None, BeforeValidator(_empty_is_unset)
]
