"""How this process logs: one event a line, JSON for machines or text for people.

The libraries' own loggers go the same way. aiohttp's are silenced: it logs a traceback for each bad
request, which whoever sends bad requests could fill a disk with.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog

EVERY_LEVEL = structlog.make_filtering_bound_logger(logging.NOTSET)
_NUMBERS = logging.getLevelNamesMapping()

Event = MutableMapping[str, Any]


def configure_logging(level: str, log_format: str) -> None:
    """Sets up structlog and the standard library's logging for this process."""
    common: list[Any] = [
        _AtLeast(level),
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if log_format == "json":
        structlog.configure(
            processors=[
                *common,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(serializer=_dumps),
            ],
            wrapper_class=EVERY_LEVEL,
            logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
            cache_logger_on_first_use=True,
        )
    else:
        structlog.configure(
            processors=[
                *common,
                structlog.dev.ConsoleRenderer(
                    colors=sys.stderr.isatty(),
                    # The default shows local variables too, and tokens stand in them.
                    exception_formatter=structlog.dev.plain_traceback,
                ),
            ],
            wrapper_class=EVERY_LEVEL,
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            cache_logger_on_first_use=True,
        )
    logging.basicConfig(
        level=_libraries_level(level), stream=sys.stderr, format="%(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)


def change_level(level: str) -> None:
    """From here on, for loggers too that have been used already: they share one list of processors."""
    processors = structlog.get_config()["processors"]
    if processors and isinstance(processors[0], _AtLeast):
        processors[0] = _AtLeast(level)
    logging.getLogger().setLevel(_libraries_level(level))


class _AtLeast:
    """A processor, as a bound logger's own level could not change once it is in use."""

    def __init__(self, level: str) -> None:
        self._number = _NUMBERS[level.upper()]

    def __call__(
        self, _logger: Any, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        level = "ERROR" if method == "exception" else method.upper()
        if _NUMBERS.get(level, logging.CRITICAL) < self._number:
            raise structlog.DropEvent
        return event


def _libraries_level(level: str) -> int:
    return max(_NUMBERS[level.upper()], logging.WARNING)


def _dumps(event: Any, **_options: Any) -> bytes:
    return orjson.dumps(event, default=str)
