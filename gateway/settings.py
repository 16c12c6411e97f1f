"""The settings, read whole: from text, environment and options to frozen models, or to every problem.

Rules of this file: this is the door; readers import from here. Reading files is the command line's job.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.settings_checks import Draft, cross_problems
from gateway.settings_document import Document, Path, Problem, key_path
from gateway.settings_handlers import HandlerPoolSettings, HandlersSettings
from gateway.settings_identity import IdentitySettings, InternalSettings
from gateway.settings_limits import CorsSettings, LimitsSettings
from gateway.settings_model import ListenSettings, Settings, StoreSettings
from gateway.settings_registry import RegistrySettings
from gateway.settings_routes import (
    CHAT_ROUTES,
    CHAT_SERVICES,
    RouteSettings,
)
from gateway.settings_services import ServiceSettings, TimeoutSettings
from gateway.settings_sources import read_sources
from gateway.settings_telemetry import (
    CacheSettings,
    DocsSettings,
    HealthSettings,
    LoggingSettings,
    ProbeSettings,
    TracingSettings,
)
from gateway.settings_types import Network, did_you_mean

__all__ = [
    "CacheSettings",
    "CorsSettings",
    "DocsSettings",
    "HandlerPoolSettings",
    "HandlersSettings",
    "HealthSettings",
    "IdentitySettings",
    "InternalSettings",
    "LimitsSettings",
    "ListenSettings",
    "LoggingSettings",
    "Network",
    "ProbeSettings",
    "Problem",
    "Problems",
    "RegistrySettings",
    "RouteSettings",
    "ServiceSettings",
    "Settings",
    "StoreSettings",
    "TimeoutSettings",
    "TracingSettings",
    "json_schema",
    "load_settings",
]

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Problems:
    """Why the settings are refused: everything that is wrong with them, not only the first."""

    items: tuple[Problem, ...]

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.items)


def load_settings(
    text: str | None, *, environment: Mapping[str, str], overrides: Sequence[tuple[str, str]] = ()
) -> Settings | Problems:
    """The settings of a YAML text (`None`: no file), environment variables and `--set` pairs.

    A text that names neither `services` nor `routes` gets those of the chat system.
    """
    chat = {"services": CHAT_SERVICES, "routes": CHAT_ROUTES}
    document = read_sources(text, chat, environment, overrides)
    if document.problems and not document.data:
        return Problems(tuple(document.problems))
    for key in chat:
        document.data.setdefault(key, {} if key == "services" else [])
    problems = list(document.problems)
    try:
        settings = Settings.model_validate(document.data)
    except ValidationError as error:
        settings = None
        problems += [_translated(details, document) for details in error.errors(include_url=False)]
    problems += cross_problems(_draft(document.data))
    if settings is None or problems:
        return Problems(_distinct(problems))
    return settings


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a settings file, for editors."""
    about = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Quaymaster settings",
    }
    schema: dict[str, Any] = _with_references(Settings.model_json_schema())
    return {**schema, **about}


def _with_references(schema: Any) -> Any:
    """The schema with `${NAME}` allowed in place of numbers, truth values and names of a closed set."""
    if isinstance(schema, list):
        return [_with_references(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: part if key == "default" else _with_references(part) for key, part in schema.items()}
    if inner.get("type") not in ("integer", "number", "boolean") and "enum" not in inner:
        return inner
    about = {key: inner.pop(key) for key in ("title", "description", "default") if key in inner}
    return {"anyOf": [inner, {"type": "string", "pattern": r"\$\{"}], **about}


def _distinct(problems: list[Problem]) -> tuple[Problem, ...]:
    """One problem per key: the first says what to mend first (an unset variable is also too short)."""
    return tuple({problem.key or str(problem): problem for problem in reversed(problems)}.values())[::-1]


def _draft(data: Mapping[str, Any]) -> Draft:
    """What can be checked across sections although other parts are wrong."""
    services, routes = data.get("services"), data.get("routes")
    named = services if isinstance(services, dict) else {}
    listed = routes if isinstance(routes, list) else []
    handlers = data.get("handlers")
    return Draft(
        listen=_valid(ListenSettings, data.get("listen", {})),
        registry=_valid(RegistrySettings, data.get("registry", {})),
        store=_valid(StoreSettings, data.get("store", {})),
        identity=_valid(IdentitySettings, data.get("identity", {})),
        handlers=None if handlers is None else _valid(HandlersSettings, handlers),
        service_names=frozenset(named),
        services={name: ok for name, raw in named.items() if (ok := _valid(ServiceSettings, raw))},
        routes={n: route for n, raw in enumerate(listed) if (route := _valid(RouteSettings, raw))},
        zone=zone if isinstance(zone := data.get("zone", ""), str) else None,
        health=_valid(HealthSettings, data.get("health", {})),
        docs=_valid(DocsSettings, data.get("docs", {})),
    )


def _valid(model: type[_Model], raw: object) -> _Model | None:
    try:
        return model.model_validate(raw)
    except ValidationError:
        return None


_PLAIN = {
    "string_type": "must be text: put it in quotes",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number, without a unit"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
}


def _translated(details: ErrorDetails, document: Document) -> Problem:
    """pydantic's finding in our words; none of them quotes a value that may be a secret."""
    path: Path = tuple(part for part in details["loc"] if part != "[key]")
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "extra_forbidden":
        known = _keys_at(Settings, path[:-1])
        message = f"there is no such key; {did_you_mean(str(path[-1]), known)}"
    elif details["type"] == "missing":
        message = "is required"
    elif details["type"] in ("model_type", "dict_type"):
        message = "must be a section with keys of its own"
    elif details["type"] in ("tuple_type", "list_type"):
        message = "must be a list, such as [a, b]"
    else:
        message = _PLAIN.get(details["type"], message)
    origin = document.origin(path)
    message = message.replace("Input should be", "must be").replace("String should", "must")
    return Problem(key_path(path), f"{message} ({origin})" if origin else message)


def _keys_at(model: type[BaseModel], path: Path) -> list[str]:
    """The keys a section may have; `path` leads to it through models, mappings and lists."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is not None and (inner := _model_in(field.annotation)) is not None:
            model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation such as `dict[str, ServiceSettings] | None` is about."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in inner if model is not None), None)
