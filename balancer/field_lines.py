"""Header pairs as the lines that go out, joined and checked once: several requests may share them.

Rules of this file: no name or value, wherever it came from, may begin a line of its own, and nothing may
say twice, or in two ways, how long a body is (RFC 9112, 6.3 and 11.1).
"""

from collections.abc import Sequence

_WRITABLE = bytes([*b"\t\r\n", *range(0x20, 0x7F), *range(0x80, 0x100)])
_LENGTH = b"\r\ncontent-length: "
_MAX_DIGITS = 18


class FieldLines:
    """The lines of `headers`, each with its line end. Never changes."""

    __slots__ = ("data", "declared", "has_host", "problem")

    def __init__(self, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        lines = b"\r\n".join(map(b": ".join, headers))
        self.data = lines + b"\r\n" if lines else b""
        self.declared: int | None = None
        """The value of `Content-Length`, `None` without one."""
        self.problem = _problem(self.data, len(headers))
        """What keeps these lines from being written; empty when nothing does."""
        lower = b"\r\n" + self.data.lower()
        # `in` would first try to take the bytes for a number, and costs ten times as much.
        self.has_host = lower.find(b"\r\nhost: ") >= 0
        if lower.find(b"\r\ntransfer-encoding: ") >= 0:
            self.problem = self.problem or "transfer-encoding"
        at = lower.find(_LENGTH)
        if at >= 0:
            text = lower[at + len(_LENGTH) : lower.index(b"\r\n", at + len(_LENGTH))]
            if text.isdigit() and len(text) <= _MAX_DIGITS and lower.find(_LENGTH, at + 1) < 0:
                self.declared = int(text)
            else:
                self.problem = self.problem or "content-length"

    def plus(self, name: bytes, value: bytes) -> "FieldLines":
        """These and one line more. `name` is a header's, and neither about the body nor `Host`."""
        line = b"%b: %b\r\n" % (name, value)
        more = FieldLines.__new__(FieldLines)
        more.data = self.data + line
        more.declared, more.has_host = self.declared, self.has_host
        more.problem = self.problem or ("" if value.isalnum() else _problem(line, 1))
        return more

    def __repr__(self) -> str:
        return f"<FieldLines: {len(self.data)} bytes>"


def _problem(data: bytes, lines: int) -> str:
    clean = not data.translate(None, _WRITABLE) and data.count(b"\r") == data.count(b"\n") == lines
    return "" if clean else "control character in a header"
