"""Things that users make, look at, change and delete: one path, five endpoints."""

from typing import Any
from uuid import uuid4

from aiohttp import web

from examples.chat.service import Clock, answer
from examples.standins.bodies import Kinds
from examples.standins.service import Refusal, caller, read_body, timestamp

MOST_ITEMS = 10_000
PAGE = 100

Item = dict[str, Any]


class Collection:
    """The items of one kind, in memory. Whoever makes one is its owner, who alone may change it."""

    def __init__(self, word: str, wanted: Kinds, optional: Kinds, clock: Clock) -> None:
        """`word` is what one of them is called; `wanted` what a new one must say, `optional` what it may."""
        self._word = word
        self._wanted = wanted
        self._optional = optional
        self._clock = clock
        self.items: dict[str, Item] = {}

    def add(self, owner: str, fields: Item) -> Item:
        """A new item. Raises `Refusal` (503) when there are too many."""
        if len(self.items) >= MOST_ITEMS:
            raise Refusal(503, "this stand-in is full: start it anew")
        made = {"id": uuid4().hex, **fields, "owner_id": owner, "created_at": timestamp(self._clock())}
        self.items[made["id"]] = made
        return made

    def of(self, id: str) -> Item:
        """Raises `Refusal` (404) for none."""
        item = self.items.get(id)
        if item is None:
            raise Refusal(404, f"there is no such {self._word}")
        return item

    def _own(self, request: web.Request) -> Item:
        item = self.of(request.match_info["id"])
        if item["owner_id"] != caller(request):
            raise Refusal(403, f"the {self._word} is somebody else's")
        return item

    async def create(self, request: web.Request) -> web.Response:
        owner = caller(request)
        return answer(self.add(owner, await read_body(request, self._wanted, self._optional)), 201)

    async def show_all(self, request: web.Request) -> web.Response:
        """The newest first; a query parameter of a field's name keeps those that have its value."""
        wanted = {k: v for k, v in request.query.items() if k in {*self._wanted, *self._optional, "owner_id"}}
        found = [i for i in self.items.values() if all(str(i.get(k)) == v for k, v in wanted.items())]
        return answer({"count": len(found), "results": found[::-1][:PAGE]})

    async def show(self, request: web.Request) -> web.Response:
        return answer(self.of(request.match_info["id"]))

    async def change(self, request: web.Request) -> web.Response:
        item = self._own(request)
        item |= await read_body(request, {}, {**self._wanted, **self._optional})
        return answer(item)

    async def delete(self, request: web.Request) -> web.Response:
        del self.items[self._own(request)["id"]]
        return web.Response(status=204)

    def routes(self, path: str) -> list[web.RouteDef]:
        """All five below `path`, which ends in a slash; one item is at `<path><id>`, with a slash or not."""
        one = path + "{id:[^/]+}{slash:/?}"
        return [
            web.post(path, self.create),
            web.get(path, self.show_all),
            web.get(one, self.show),
            web.put(one, self.change),
            web.delete(one, self.delete),
        ]
