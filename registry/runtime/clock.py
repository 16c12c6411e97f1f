"""Unix time, for what leaves this process: in a token, a ticket or a file. Durations are measured with
`time.monotonic`."""

import time


def unix_now() -> float:
    """Seconds since 1970. May jump when somebody sets the clock, so nothing waits by it."""
    return time.time_ns() / 1e9
