"""Where settings come from: a YAML text, environment variables and `--set`, merged into one document.

Rules of this file: it builds plain data and validates nothing. Later sources win: defaults, the text,
`QUAYMASTER__…` variables, `--set`. Every mistake becomes a `Problem`; no message quotes a value, which may
be a secret.

A part of `QUAYMASTER__LISTEN__PORT` (split at `__`) or of `--set listen.port` (split at dots) names a key
that is there already if it differs from it only by letter case, or by `_` where the key has `-` or `.`:
`QUAYMASTER__SERVICES__MY_API__STRATEGY` reaches the service `my-api`. Other keys are taken in lower case.
An element of a list is named by its number.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from gateway.settings_yaml import SYNTAX_ERRORS, StrictLoader, describe

PREFIX = "QUAYMASTER__"
MAX_DEPTH = 32
MAX_VALUES = 20_000
"""Far above any settings file, far below what nested YAML aliases can unfold to."""

_REFERENCE = re.compile(
    r"\$(?P<escaped>\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<bad>\$\{)"
)

Path = tuple[str | int, ...]

FROM_ENVIRONMENT: tuple[tuple[str, str, str], ...] = (
    ("registry", "token", "${CONSUL_HTTP_TOKEN:-}"),
    ("identity", "secret", "${JWT_SECRET:-}"),
    ("internal", "key", "${INTERNAL_KEY:-}"),
    ("handlers", "secret", "${HANDLER_SECRET:-}"),
)
"""The defaults of secrets: what stands there when a file says nothing (DESIGN 4)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is, and what to write instead."""

    key: str
    """`routes[3].service`; empty for the settings as a whole."""
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


@dataclass(slots=True)
class Document:
    """The merged data, what went wrong on the way, and who set what beside the text."""

    data: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    origins: dict[Path, str] = field(default_factory=dict)

    def origin(self, path: Path) -> str:
        """Which variable or option set the value at `path`, or the nearest thing that holds it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return ""


def key_path(path: Sequence[str | int]) -> str:
    """("routes", 3, "service") -> `routes[3].service`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def read_sources(
    text: str | None,
    defaults: Mapping[str, Any],
    environment: Mapping[str, str],
    overrides: Sequence[tuple[str, str]],
) -> Document:
    """Everything merged and `${…}` filled in.

    `defaults` are the keys that stand when the text names none of them: they describe one system
    together, so a text that brings a part of it brings all of it.
    """
    document = Document()
    read = _read_text(text, document)
    if text is not None and read is None:
        return document
    document.data = read or {}
    if not document.data.keys() & defaults.keys():
        document.data |= _copied(defaults)
    for name in sorted(name for name in environment if name.upper().startswith(PREFIX)):
        _override(document, name, name[len(PREFIX) :].split("__"), environment[name])
    for name, value in overrides:
        _override(document, f"--set {name}", re.sub(r"\[(\d+)\]", r".\1", name).split("."), value)
    _default_secrets(document)
    document.data = _Filling(document, environment).value(document.data, ())
    return document


def _read_text(text: str | None, document: Document) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        read = yaml.load(text, Loader=StrictLoader)
    except SYNTAX_ERRORS as error:
        document.problems.append(Problem("", describe(error)))
        return None
    if read is None:
        return {}
    if not isinstance(read, dict):
        document.problems.append(
            Problem("", "the settings must be a mapping of sections, such as `listen: {port: 8000}`")
        )
        return None
    return read


def _copied(value: Any) -> Any:
    """A copy whose lists and mappings may be written to."""
    if isinstance(value, Mapping):
        return {key: _copied(part) for key, part in value.items()}
    return [_copied(part) for part in value] if isinstance(value, list | tuple) else value


def _default_secrets(document: Document) -> None:
    for section, key, reference in FROM_ENVIRONMENT:
        content = document.data.setdefault(section, {})
        if not isinstance(content, dict) or key in content:
            continue
        if section == "identity" and {"public_key", "public_key_file"} & content.keys():
            continue
        content[key] = reference
        document.origins[section, key] = f"from {reference[2:].partition(':')[0]}"


def _override(document: Document, name: str, parts: list[str], text: str) -> None:
    """Sets one value; `parts` are the words of its path, as the operator wrote them."""
    here: Any = document.data
    path: list[str | int] = []
    while parts:
        step = _step(here, parts)
        if isinstance(step, str):
            document.problems.append(Problem(key_path(path) or name, f"{step} (set by {name})"))
            return
        key, used = step
        path.append(key)
        parts = parts[used:]
        if not parts:
            break
        if isinstance(here, dict) and here.get(key) is None:
            here[key] = {}
        here = here[key]
    try:
        here[path[-1]] = scalar(text)
    except SYNTAX_ERRORS as error:
        document.problems.append(Problem(key_path(path), f"{describe(error)} (set by {name})"))
        return
    document.origins[tuple(path)] = f"set by {name}"


def _step(here: Any, parts: list[str]) -> tuple[str | int, int] | str:
    """The next key and how many words it takes, or why there is none."""
    if isinstance(here, list):
        if parts[0].isdecimal() and int(parts[0]) < len(here):
            return int(parts[0]), 1
        return f"has no element {parts[0]}: it is a list of {len(here)}"
    if not isinstance(here, dict):
        return f"is a single value and holds no {parts[0]}"
    known = {_plain(key): key for key in here if isinstance(key, str)}
    for used in range(len(parts), 0, -1):
        if (key := known.get(_plain("_".join(parts[:used])))) is not None:
            return key, used
    return (parts[0].lower(), 1) if parts[0] else "has an empty part in its name"


def _plain(key: str) -> str:
    return re.sub(r"[.-]", "_", key.lower())


def scalar(text: str) -> Any:
    """An override's value, read as YAML: `[a, b]` is a list, `null` is nothing, `"007"` is text.

    Numbers stay text: the settings turn them into numbers where a number is wanted, and a secret of
    digits stays a secret.
    """
    read = yaml.load(text, Loader=StrictLoader)
    if isinstance(read, int | float) and not isinstance(read, bool):
        return text.strip()
    return "" if read is None and not text.strip() else read


class _Filling:
    """Fills `${NAME}` and `${NAME:-default}`; `$${` stands for a plain `${`."""

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self._document = document
        self._environment = environment
        self._left = MAX_VALUES

    def value(self, value: Any, path: Path) -> Any:
        self._left -= 1
        if self._left == 0:
            self._problem((), f"holds more than {MAX_VALUES} values")
        if self._left <= 0:
            return None
        if len(path) > MAX_DEPTH:
            self._problem(path[:1], f"is nested more than {MAX_DEPTH} levels deep")
            return None
        if isinstance(value, dict):
            return {key: self.value(part, (*path, key)) for key, part in value.items()}
        if isinstance(value, list):
            return [self.value(part, (*path, number)) for number, part in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return _REFERENCE.sub(lambda found: self._filled(found, path), value)
        return value

    def _filled(self, found: re.Match[str], path: Path) -> str:
        if found["escaped"]:
            return "${"
        if found["bad"]:
            self._problem(path, "holds a ${ that starts no reference: write ${NAME}, ${NAME:-default} or $${")
            return ""
        name, default = found["name"], found["default"]
        value = self._environment.get(name, "")
        if value or (name in self._environment and default is None):
            return value
        if default is None:
            self._problem(path, f"needs the variable {name}: set it, or write ${{{name}:-default}}")
        return default or ""

    def _problem(self, path: Path, message: str) -> None:
        self._document.problems.append(Problem(key_path(path), message))
