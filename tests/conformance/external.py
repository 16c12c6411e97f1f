"""Public conformance data, which lies beside the project where it is there at all."""

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

EXTERNAL = Path(__file__).parents[3] / "shared/external"


def load(name: str) -> Any:
    """The data of that file; a test module without its data is skipped with one clear line."""
    file = EXTERNAL / name
    if not file.exists():
        pytest.skip("shared/external is not beside the project", allow_module_level=True)
    return json.loads(file.read_text())


@dataclass(frozen=True, slots=True)
class Http11Case:
    """A case of Http11Probe: raw bytes, and what each possible reaction is worth."""

    id: str
    scored: bool
    expected: str
    steps: tuple[bytes, ...]
    """Said one after the other on one connection. `@@HOST@@` stands for the gateway's authority."""
    verdicts: dict[str, str] = field(default_factory=dict)
    """By status, `close` or `timeout`: `Pass`, `Warn`, `Fail` or what that depends on. None for steps."""

    def said_to(self, port: int) -> list[bytes]:
        return [step.replace(b"@@HOST@@", f"127.0.0.1:{port}".encode()) for step in self.steps]

    @property
    def may_be_met_with_silence(self) -> bool:
        return self.verdicts.get("timeout") in ("Pass", "Warn")

    def __str__(self) -> str:
        return self.id


def http11_cases() -> list[Http11Case]:
    return [
        Http11Case(
            raw["id"],
            raw["scored"],
            raw["expected"],
            tuple(_steps(raw)),
            raw.get("verdicts", {}),
        )
        for raw in load("http11/cases.json")["cases"]
    ]


def _steps(raw: dict[str, Any]) -> list[bytes]:
    if "sequence" not in raw:
        return [base64.b64decode(raw["payload_b64"] or "")]
    return [b"".join(base64.b64decode(part["b64"]) for part in step["parts"]) for step in raw["sequence"]]


@dataclass(frozen=True, slots=True)
class LlhttpCase:
    """A fixture of llhttp's own tests: bytes, and the error that its strict parser gives, if any."""

    kind: str
    """`request` or `response`."""
    title: str
    parser: str
    """The kind, and `-lenient-...` or `-finish` behind it where the fixture asks for that."""
    raw: bytes
    error: str | None

    @property
    def lenient(self) -> bool:
        return "-lenient-" in self.parser

    def __str__(self) -> str:
        return f"{self.title} [{self.parser}]"


def llhttp_cases(kind: str) -> list[LlhttpCase]:
    cases = load("llhttp/cases.json")["cases"]
    return [
        LlhttpCase(kind, case["title"], case["type"], _octets(case["raw_latin1"]), case["error"])
        for case in cases
        if case["dir"] == kind
    ]


def _octets(text: str) -> bytes:
    """One case stands in the file as text, in spite of the name of its field."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()
