"""Which errors of a connection say something of this machine, and nothing of whoever was called. Pure."""

import errno

_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})


def is_out_of_resources(error: BaseException) -> bool:
    """Whether this machine had no file, memory or local port left to try with."""
    return isinstance(error, OSError) and error.errno in _OUT_OF_RESOURCES
