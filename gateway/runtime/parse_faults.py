"""What aiohttp's parser has against some bytes, as a reason of gateway.errors.

Rules of this file: aiohttp's texts repeat raw input, so nothing of them is passed on. Some faults have no
class of their own and are told apart by text or limit; test_parse_faults.py holds what that relies on.
"""

import re

from aiohttp.http_exceptions import BadHttpMessage, BadHttpMethod, HttpProcessingError, LineTooLong

MAX_LINE = 8190
"""Bytes of a request line's target."""

MAX_FIELD = MAX_LINE + 1
"""Bytes of one header. Not MAX_LINE, because aiohttp's fault only names the limit that was passed."""

_METHOD_QUOTED = re.compile(r"b['\"][!-\[\]-~]{1,64} ")
"""aiohttp's text quotes what it could not read. Only a word before a space was meant as a method: a TLS
hello and other bytes were not, and nothing that goes on for ever."""

_TOO_MANY = "Too many headers received"
_OTHER_VERSION = ("Bad status line:\n  Invalid HTTP version:", "Pause on PRI/Upgrade:")
"""How its texts begin of a version that is none of ours, and of HTTP/2's first words."""


class HeadTooLong(HttpProcessingError):
    """All headers together are longer than the settings allow. Not aiohttp's but ours."""


class NotHttp(HttpProcessingError):
    """A request line that ends in another protocol, such as RTSP. Not aiohttp's but ours."""


def reason_of(fault: BaseException) -> str:
    """Why these bytes are no request that is carried."""
    match fault:
        case LineTooLong(args=(_, limit, *_)) if limit == MAX_LINE:
            return "uri_too_long"
        case LineTooLong() | HeadTooLong():
            return "headers_too_large"
        case NotHttp():
            return "bad_version"
        case BadHttpMethod() if _METHOD_QUOTED.search(fault.message):
            return "bad_method"
        case BadHttpMessage() if fault.message == _TOO_MANY:
            return "headers_too_large"
        case BadHttpMessage() if fault.message.startswith(_OTHER_VERSION):
            return "bad_version"
        case HttpProcessingError():
            return "bad_request"
    return "internal_error"
