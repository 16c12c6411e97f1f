"""How this process logs: one event a line, JSON for machines or text for people.

The libraries' own loggers go the same way. aiohttp's are silenced: it logs a traceback for each bad
request, which whoever sends bad requests could fill a disk with.
"""

import logging
import sys
from typing import Any

import orjson
import structlog


def configure_logging(level: str, log_format: str) -> None:
    """Sets up structlog and the standard library's logging for this process."""
    number = logging.getLevelNamesMapping()[level.upper()]
    common: list[Any] = [
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
            wrapper_class=structlog.make_filtering_bound_logger(number),
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
            wrapper_class=structlog.make_filtering_bound_logger(number),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            cache_logger_on_first_use=True,
        )
    logging.basicConfig(
        level=max(number, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)


def _dumps(event: Any, **_options: Any) -> bytes:
    return orjson.dumps(event, default=str)
