"""Keeps `?ticket=` out of aiohttp's access log: who reads a log must not be able to use what is in it."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

_TICKET = re.compile(r"([?&]ticket=)[^&\s\"#]+")
_LOGGER = "aiohttp.access"


def hide_ticket(record: logging.LogRecord) -> bool:
    """A log filter: lets every record pass, without its ticket."""
    if isinstance(record.msg, str) and "ticket=" in record.msg:
        record.msg = _TICKET.sub(r"\1hidden", record.msg)
    line = getattr(record, "first_request_line", None)
    if isinstance(line, str):
        record.first_request_line = _TICKET.sub(r"\1hidden", line)
    return True


@contextmanager
def tickets_unlogged() -> Iterator[None]:
    """Tickets stay out of the access log inside the block."""
    logger = logging.getLogger(_LOGGER)
    logger.addFilter(hide_ticket)
    try:
        yield
    finally:
        logger.removeFilter(hide_ticket)
