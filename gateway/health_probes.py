"""What the system depends on and the gateway asks now and then: where it is, and what its answers mean.

Rules of this file: nothing here asks; gateway/probes/ does, when runtime/probing.py says so. A target holds a
password, so it is never shown: what is shown of a probe is its name, its kind and what came of it.

* One bad answer of something that was up changes nothing: it is asked again soon, and the second one counts.
  Before the first answer nothing is known, and any answer counts.
* A question that this machine could not ask is no answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import parse_qsl, unquote, urlsplit

from gateway.probes import PORTS, SCHEMES

JITTER = 0.1
FIRST_WITHIN_S = 0.5
"""A new probe is asked somewhere in so long, so that gateways that start together don't ask together."""
AGAIN_AFTER_S = 1.0
"""After the first bad answer of something that was up."""
DOWN_AFTER = 2
"""Bad answers in a row."""


class Found(StrEnum):
    """What came of a question; all but the first speak against it, and are shown to operators."""

    UP = "up"
    UNREACHABLE = "unreachable"
    """No connection: refused, no way there, or no such name."""
    TIMEOUT = "timeout"
    TLS = "tls"
    """Its certificate is not good here, or it speaks no TLS."""
    BAD_ANSWER = "bad_answer"
    """Not what such a server says, or it hung up."""
    DENIED = "denied"
    """It does not take the password of the URL."""
    STARTING = "starting"
    """It is there, and serves nobody yet, or no longer."""
    STATUS = "status"
    """An HTTP status below 200 or from 400 on."""
    ERROR = "error"
    """It answers with an error of its own."""
    NOT_ASKED = "not_asked"
    """This machine had no means to ask."""


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """A URL of the settings, taken apart."""

    kind: str
    """A name of the table gateway/probes."""
    host: str
    port: int
    tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    path: str = ""
    """With its query for http; else the name of a database, or empty."""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def ca_file(self) -> str | None:
        """Whose certificates are believed, by redis-py's name for it or libpq's; `None`: the system's."""
        return self.options.get("ssl_ca_certs") or self.options.get("sslrootcert")


def read_probe_url(url: str) -> ProbeTarget:
    """The target of a URL that the settings have let through."""
    parts = urlsplit(url)
    # SQLAlchemy's `postgresql+asyncpg` names its driver, which makes no difference to the server.
    scheme = parts.scheme.partition("+")[0]
    kind = SCHEMES.get(scheme, scheme)
    query = f"?{parts.query}" if parts.query else ""
    assert parts.hostname, "the settings have seen to it"
    return ProbeTarget(
        kind=kind,
        host=parts.hostname,
        port=parts.port or PORTS[scheme],
        tls=scheme in ("https", "rediss"),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        path=(parts.path or "/") + query if kind == "http" else unquote(parts.path.removeprefix("/")),
        options={} if kind == "http" else dict(parse_qsl(parts.query)),
    )


@dataclass(frozen=True, slots=True)
class ProbeState:
    """What is known of one dependency. `asked_at` is monotonic seconds."""

    name: str
    kind: str
    required: bool = False
    up: bool | None = None
    """`None` before the first answer."""
    found: Found | None = None
    """The latest answer."""
    seconds: float | None = None
    """How long that took."""
    asked_at: float | None = None
    against: int = 0
    """Answers in a row that contradict `up`."""

    def after(self, found: Found, seconds: float, now: float) -> "ProbeState":
        """What is known after one more answer."""
        if found is Found.NOT_ASKED:
            return self
        good = found is Found.UP
        against = 0 if good else self.against + 1
        up = good or (self.up is True and against < DOWN_AFTER)
        return replace(self, up=up, found=found, seconds=seconds, asked_at=now, against=against)

    def pause_s(self, interval_s: float, chance: float) -> float:
        """Until the next question; `chance` is from 0 to 1."""
        if self.up is None:
            return min(interval_s, FIRST_WITHIN_S) * chance
        doubted = self.up and self.against
        pause_s = min(interval_s, AGAIN_AFTER_S) if doubted else interval_s
        return pause_s * (1 + JITTER * (2 * chance - 1))

    def body(self, now: float) -> dict[str, object]:
        """For `/health/detailed`."""
        return {
            "kind": self.kind,
            "status": "unknown" if self.up is None else "up" if self.up else "down",
            "required": self.required,
            "found": None if self.found is None else self.found.value,
            "response_time": None if self.seconds is None else round(self.seconds, 6),
            "age_s": None if self.asked_at is None else round(now - self.asked_at, 3),
        }
