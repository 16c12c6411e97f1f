"""Is this a valid OpenAPI 3.1 document? By the specification's own meta-schema."""

from collections.abc import Mapping
from typing import Any

import jsonschema_rs
from schemathesis.specs.openapi.definitions import OPENAPI_31

from gateway.openapi_references import SCHEMA_REF, references

_JUDGE = jsonschema_rs.validator_for(OPENAPI_31)
_SCHEMA_JUDGE = jsonschema_rs.meta


def problems(document: Mapping[str, Any]) -> list[str]:
    """What is wrong with it: by the meta-schema, its schemas by theirs, and references to nowhere."""
    found = [f"{list(error.instance_path)}: {error.message[:300]}" for error in _JUDGE.iter_errors(document)]
    components = document.get("components", {})
    for name, schema in components.get("schemas", {}).items():
        if not _SCHEMA_JUDGE.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}):
            found.append(f"schema {name} is none")
    for ref in references(document):
        kind, _, name = ref.removeprefix("#/components/").rpartition("/")
        if name not in components.get(kind or "schemas", {}):
            found.append(f"nothing is at {kind or SCHEMA_REF} {name}")
    ids = [op["operationId"] for item in document["paths"].values() for op in item.values()]
    found += [f"two operations are {name}" for name in {name for name in ids if ids.count(name) > 1}]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            named = {p["name"] for p in operation.get("parameters", ()) if p.get("in") == "path"}
            if named != {part[1:-1] for part in path.split("/") if part.startswith("{")}:
                found.append(f"{method} {path} does not name what it needs: {named}")
    return found
