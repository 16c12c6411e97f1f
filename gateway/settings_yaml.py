"""YAML, strictly: no key twice, keys are text, plain data only, and errors without a word of the text.

Rules of this file: PyYAML's own error quotes the line it stumbled over, which may hold a secret, so
`describe` takes the position and the kind of the mistake only. Dates stay text: no setting is one.
"""

import re
from typing import Any, ClassVar

import yaml

SYNTAX_ERRORS = (yaml.YAMLError, RecursionError, ValueError)
"""All that reading hostile text raises; deep nesting ends PyYAML's recursion, odd characters its reader."""

_NAMED = re.compile(r"(alias|anchor|tag handle) ['\"].*", re.DOTALL)
"""An unquoted secret that starts with `*`, `&` or `!` is read as one of these, and would be shown."""

_PLAIN = ("null", "bool", "int", "float", "str", "seq", "map")


class StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses duplicate keys and tags that are no plain data."""

    yaml_constructors: ClassVar[dict[Any, Any]] = {}
    yaml_implicit_resolvers = {  # noqa: RUF012 -- PyYAML reads it from the class
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise _mistake("this is no mapping", node)
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str" or not isinstance(key, yaml.ScalarNode):
                raise _mistake("a key must be text: put it in quotes", key)
            if key.value in seen:
                raise _mistake(f"the key {key.value!r} stands there twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, IndexError, OverflowError) as error:
            raise _mistake(f"this is no {node.tag.rpartition(':')[2]}", node) from error

    def refuse(self, node: yaml.Node) -> None:
        raise _mistake("this tag is not used here", node)


def _mistake(message: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, message, node.start_mark)


for _kind in _PLAIN:
    StrictLoader.add_constructor(
        f"tag:yaml.org,2002:{_kind}", yaml.SafeLoader.yaml_constructors[f"tag:yaml.org,2002:{_kind}"]
    )
StrictLoader.add_constructor(None, StrictLoader.refuse)


def describe(error: Exception) -> str:
    """The mistake and its place, as `line 3, column 5: …`."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = _NAMED.sub(r"\1", ", ".join(filter(None, (error.context, error.problem))))
        hint = (
            "; between braces, quote what has braces, as a path with a {name}"
            if what.endswith("but got '{'")
            else ""
        )
        return f"not valid YAML: {place}{what}{hint}"
    if isinstance(error, RecursionError):
        return "not valid YAML: nested too deeply"
    return "not valid YAML: it holds a character that no YAML text may hold"
