"""An answer on its way to a client, and a copy of it for others.

Rules of this file: for as long as a copy is made the pace is the instance's, so a client that reads slowly
keeps nobody waiting who wants the copy; and copies in the making are bounded, one by one and together.
"""

from dataclasses import dataclass

from balancer.runtime.base import AnswerBody
from gateway.runtime.client_request import ClientRequest


@dataclass(slots=True)
class Room:
    """What all copies in the making may take together."""

    max_bytes: int
    taken: int = 0


class Collector:
    """The copy of one body, up to `limit` bytes. Whoever has made it calls `release`.

    What `client` has room for is passed on at once; it is `None` for one that wants no body.
    """

    def __init__(self, client: ClientRequest | None, room: Room, limit: int) -> None:
        self._client = client
        self._room = room
        self._limit = limit
        self._pieces: list[bytes] = []
        self._written = 0
        """Pieces that the client has."""
        self._size = 0

    async def collect(self, body: AnswerBody) -> bytes | None:
        """All of the body, or `None` when it became too long to be kept: then it has not ended.

        Raises `UpstreamBroke` when it is cut short, and `ConnectionResetError` when the client has gone.
        """
        client, room = self._client, self._room
        async for piece in body:
            self._pieces.append(piece)
            self._size += len(piece)
            room.taken += len(piece)
            if self._size > self._limit or room.taken > room.max_bytes:
                return None
            while client is not None and self._written < len(self._pieces) and not client.held_up:
                client.put(self._pieces[self._written])
                self._written += 1
        return b"".join(self._pieces)

    async def pass_on(self, body: AnswerBody | None = None) -> None:
        """The rest to the client: what it had no room for, and of a body that has not ended what comes yet.

        Raises as `ClientRequest.write` does, and `UpstreamBroke`.
        """
        client = self._client
        if client is None:
            return
        for piece in self._pieces[self._written :]:
            await client.write(piece)
        self.release()
        if body is not None:
            async for piece in body:
                await client.write(piece)
        client.end()

    def release(self) -> None:
        self._room.taken -= self._size
        self._size = self._written = 0
        self._pieces.clear()
