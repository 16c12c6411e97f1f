"""A traceback fit for a log."""

import traceback

LONGEST = 4000


def trace_of(error: BaseException) -> str:
    """The end of the traceback as text, without the values of variables: they may hold a token.

    An unconfigured structlog prints those values when it is given the exception itself.
    """
    return "".join(traceback.format_exception(error))[-LONGEST:]
