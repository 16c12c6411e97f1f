"""Where settings come from: a YAML text, environment variables and `--set`, merged into one document.

Rules of this file: it builds plain data and validates nothing. Later sources win: defaults, the text,
`QUAYMASTER__…` variables, `--set`. Every mistake becomes a `Problem`; no message quotes a value, which may
be a secret.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from gateway.settings_document import Document, Path
from gateway.settings_overrides import PREFIX, apply, from_environment, from_option
from gateway.settings_yaml import SYNTAX_ERRORS, StrictLoader, describe

MAX_DEPTH = 32
MAX_VALUES = 20_000
"""Far above any settings file, far below what nested YAML aliases can unfold to."""

_REFERENCE = re.compile(
    r"\$(?P<escaped>\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<bad>\$\{)"
)

FROM_ENVIRONMENT: tuple[tuple[str, str, str], ...] = (
    ("registry", "token", "${CONSUL_HTTP_TOKEN:-}"),
    ("identity", "secret", "${JWT_SECRET:-}"),
    ("internal", "key", "${INTERNAL_KEY:-}"),
    ("handlers", "secret", "${HANDLER_SECRET:-}"),
)
"""The defaults of secrets: what stands there when a file says nothing (DESIGN 4)."""


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
    data = read or {}
    if not data.keys() & defaults.keys():
        data |= defaults
    copied = _Copying(document, lambda value, _: value).value(data)
    if document.problems:
        return document
    document.data = copied
    for name in sorted(environment):
        if name.upper().startswith(PREFIX):
            apply(document, from_environment(name, environment[name]))
    for name, value in overrides:
        apply(document, from_option(name, value))
    _default_secrets(document)
    document.data = _Copying(document, _References(document, environment).fill).value(document.data)
    return document


def _read_text(text: str | None, document: Document) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        read = yaml.load(text, Loader=StrictLoader)
    except SYNTAX_ERRORS as error:
        document.add((), describe(error))
        return None
    if read is None:
        return {}
    if not isinstance(read, dict):
        document.add((), "the settings must be a mapping of sections, such as `listen: {port: 8000}`")
        return None
    return read


class _Copying:
    """Copies data, bounded in depth and number: aliases share values, may hold themselves, and unfold.

    `leaf` says what stands in the copy for a single value.
    """

    def __init__(self, document: Document, leaf: Callable[[Any, Path], Any]) -> None:
        self._document = document
        self._leaf = leaf
        self._left = MAX_VALUES

    def value(self, value: Any, path: Path = ()) -> Any:
        self._left -= 1
        if self._left <= 0:
            if self._left == 0:
                self._document.add((), f"holds more than {MAX_VALUES} values")
            return None
        if len(path) > MAX_DEPTH:
            self._document.add(path[:1], f"is nested more than {MAX_DEPTH} levels deep")
            return None
        if isinstance(value, dict):
            return {key: self.value(part, (*path, key)) for key, part in value.items()}
        if isinstance(value, list):
            return [self.value(part, (*path, number)) for number, part in enumerate(value)]
        return self._leaf(value, path)


class _References:
    """Fills `${NAME}` and `${NAME:-default}`; `$${` stands for a plain `${`."""

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self._document = document
        self._environment = environment

    def fill(self, value: Any, path: Path) -> Any:
        if isinstance(value, str) and "${" in value:
            return _REFERENCE.sub(lambda found: self._filled(found, path), value)
        return value

    def _filled(self, found: re.Match[str], path: Path) -> str:
        if found["escaped"]:
            return "${"
        if found["bad"]:
            self._document.add(
                path, "holds a ${ that starts no reference: write ${NAME}, ${NAME:-default} or $${"
            )
            return ""
        name, default = found["name"], found["default"]
        value = self._environment.get(name)
        if value or (value is not None and default is None):
            return value
        if default is None:
            self._document.add(path, f"needs the variable {name}: set it, or write ${{{name}:-default}}")
        return default or ""


def _default_secrets(document: Document) -> None:
    for section, key, reference in FROM_ENVIRONMENT:
        content = document.data.setdefault(section, {})
        if not isinstance(content, dict) or key in content:
            continue
        if section == "identity" and "HS" not in str(content.get("algorithms", "HS256")):
            continue
        content[key] = reference
        document.origins[section, key] = f"from {reference[2:].partition(':')[0]}"
