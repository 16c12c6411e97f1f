"""`/admin/logging`: what this process logs, and what else it is to log for a while."""

from dataclasses import dataclass
from typing import Literal

import structlog
from pydantic import BaseModel, ConfigDict, model_validator

from gateway.errors import GatewayError, Reason
from gateway.openapi_operations import Operation, Told
from gateway.runtime.access_log import AccessLog
from gateway.runtime.endpoints.endpoint import Endpoint, read_message
from gateway.runtime.exchange import Exchange
from gateway.runtime.logs import change_level
from gateway.runtime.reply import Reply, json_reply
from gateway.settings_types import Share

log = structlog.get_logger()

Level = Literal["debug", "info", "warning", "error"]


class LoggingMessage(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid")

    level: Level | None = None
    sample: Share | None = None
    """What is left out stays as it is, but one of the two is to be said."""

    @model_validator(mode="after")
    def _says_something(self) -> "LoggingMessage":
        if self.level is None and self.sample is None:
            raise ValueError("give level, sample, or both")
        return self


class LoggingState(BaseModel):
    """What is in force."""

    level: Level
    sample: float
    access: bool
    slow_s: float


SHOW = Operation("What this process logs", {200: Told("Its level and share.", LoggingState)}, tag="admin")
CHANGE = Operation(
    "Log more or less",
    {200: Told("What is in force now.", LoggingState)},
    method="PUT",
    text="Holds for this process, until the next change, reload or restart.",
    takes=LoggingMessage,
    errors=(Reason.BAD_JSON, Reason.BAD_PARAMETER),
    tag="admin",
)


@dataclass(slots=True)
class LoggingAdminEndpoint:
    access_log: AccessLog

    def endpoints(self) -> list[Endpoint]:
        operations = (SHOW, CHANGE)
        return [Endpoint("/admin/logging", ("GET", "PUT"), "internal", self.answer, operations=operations)]

    async def answer(self, exchange: Exchange) -> Reply | GatewayError:
        if exchange.request.method == "PUT":
            message = await read_message(exchange, LoggingMessage)
            if isinstance(message, GatewayError):
                return message
            self._change(message)
        settings = self.access_log.settings
        return json_reply(
            {
                "level": settings.level,
                "sample": settings.sample,
                "access": settings.access,
                "slow_s": settings.slow_s,
            }
        )

    def _change(self, message: LoggingMessage) -> None:
        before = self.access_log.settings
        sample = before.sample if message.sample is None else message.sample
        level = message.level or before.level
        self.access_log.follow(before.model_copy(update={"level": level, "sample": sample}))
        # A warning: whoever wonders later where the lines are finds this one.
        # `level` would be this line's own.
        log.warning("logging_changed", to=level, sample=sample, before=before.level)
        change_level(level)
