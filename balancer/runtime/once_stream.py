"""A body that can be sent once, and may go to another instance as long as nobody has taken anything of it."""

from collections.abc import AsyncIterable, AsyncIterator


class OnceStream:
    """A client's body stream."""

    def __init__(self, source: AsyncIterable[bytes]) -> None:
        self._chunks = aiter(source)
        self.begun = False
        """Something was taken from it."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self.begun = True
        return await anext(self._chunks)
