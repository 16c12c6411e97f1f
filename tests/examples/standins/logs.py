"""The lines of the access log, read back from what this process has written."""

import json
from typing import Any

ON = {"logging.level": "info"}
"""What makes an example write them."""


def requests_in(text: str) -> list[dict[str, Any]]:
    """One for each request, in their order."""
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == "request"]
