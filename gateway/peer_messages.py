"""The JSON in which microservices report how a call of their own went at a peer.

Unknown fields are ignored, so that a newer caller can talk to an older gateway. Everything else is taken as
it stands or refused: "connect failed" is no outcome, and a guess would put an instance aside.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

PeerOutcome = Literal["ok", "connect_failed", "timeout", "server_error"]

_Named = Annotated[str, Field(min_length=1, max_length=2048)]


class PeerReport(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    service_name: _Named
    outcome: PeerOutcome
    id: _Named | None = None
    url: _Named | None = None
    """As the instance was handed out. One of them is needed; both must be meant where both are given."""

    @property
    def ok(self) -> bool:
        return self.outcome == "ok"
