"""Names for requests whose clients gave none: unique over all gateways and starts, and no secret."""

from itertools import count


class RequestIds:
    """32 hexadecimal digits: half says which process, half counts. `process` is 16 random ones."""

    def __init__(self, process: str) -> None:
        self._process = process
        self._count = count(1)

    def next(self) -> str:
        return f"{self._process}{next(self._count):016x}"

    def __repr__(self) -> str:
        return f"<RequestIds: {self._process}…>"
