"""What every instance answers, whichever program it is."""

SMALL = "/small"
"""Answers `SMALL_BODY`."""
SMALL_BODY = b'{"id": 4711, "name": "quay", "status": "ready", "note": "' + b"." * 36 + b'"}'
"""95 bytes of JSON."""
MIB = "/mib"
"""Answers 1 MiB."""
MIB_BYTES = 1 << 20
LARGE = "/large"
"""Answers 1 GiB."""
LARGE_BYTES = 1 << 30
SINK = "/sink"
"""Reads a whole body, whatever its size, and then answers `SMALL_BODY`."""
