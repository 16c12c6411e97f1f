"""New settings for a running gateway: what of them can be had without a restart, and how the last try went.

Rules of this file: settings come in whole and valid, and go out whole. What holds a socket, a connection to a
store or a journal is made once, at the start; a key of such a section keeps its running value and is named.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from gateway.settings import Problem, Settings
from gateway.settings_checks import Draft, cross_problems

WHOLE_SECTIONS = ("registry", "store", "handlers", "cache", "tracing")
"""All of their keys need a restart."""
SINGLE_KEYS = {"listen": ("host", "port", "handover", "proxy_protocol"), "logging": ("format",)}


@dataclass(frozen=True, slots=True)
class Taken:
    """What comes into force."""

    settings: Settings
    not_applied: tuple[str, ...]
    """The keys whose new values need a restart."""
    problems: tuple[Problem, ...]
    """What is wrong with the new beside the kept: then nothing may come into force."""


def taken_over(running: Settings, wanted: Settings) -> Taken:
    """The wanted settings, but for what a running gateway can't change."""
    named: list[str] = []
    sections: dict[str, Any] = {}
    for name in WHOLE_SECTIONS:
        before, after = getattr(running, name), getattr(wanted, name)
        named += _differing(name, before, after)
        sections[name] = before
    for name, keys in SINGLE_KEYS.items():
        before, after = getattr(running, name), getattr(wanted, name)
        kept = {key: getattr(before, key) for key in keys if getattr(before, key) != getattr(after, key)}
        named += [f"{name}.{key}" for key in kept]
        sections[name] = after.model_copy(update=kept)
    settings = wanted.model_copy(update=sections)
    return Taken(settings, tuple(named), tuple(cross_problems(_draft(settings))))


def _draft(settings: Settings) -> Draft:
    return Draft(
        listen=settings.listen,
        registry=settings.registry,
        store=settings.store,
        identity=settings.identity,
        handlers=settings.handlers,
        service_names=frozenset(settings.services),
        services=settings.services,
        routes=dict(enumerate(settings.routes)),
        zone=settings.zone,
        health=settings.health,
        docs=settings.docs,
    )


def _differing(name: str, before: BaseModel | None, after: BaseModel | None) -> Iterator[str]:
    if before is None or after is None:
        if before is not after:
            yield name
        return
    for key in type(before).model_fields:
        if getattr(before, key) != getattr(after, key):
            yield f"{name}.{key}"


@dataclass(slots=True)
class ReloadLedger:
    """How the reloads of a process went."""

    loaded_at: str
    """When the settings in force were read: ISO 8601, UTC."""
    error: str | None = None
    """Why the newest ones are not in force: every problem, one a line."""
    not_applied: tuple[str, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)
    """By result: `applied`, `partly` (some keys need a restart), `refused`."""

    def applied(self, now_iso: str, not_applied: tuple[str, ...]) -> None:
        self.loaded_at, self.error, self.not_applied = now_iso, None, not_applied
        self.counts["partly" if not_applied else "applied"] += 1

    def refused(self, error: str) -> None:
        self.error = error
        self.counts["refused"] += 1

    def body(self) -> dict[str, object]:
        """For `/health/detailed`."""
        return {"loaded_at": self.loaded_at, "error": self.error, "not_applied": list(self.not_applied)}
