"""Things that users make, look at, change and delete: one path, five endpoints."""

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import uuid4

from aiohttp import web

from examples.chat.service import Clock, answer
from examples.standins.bodies import Kinds
from examples.standins.service import Refusal, Surroundings, caller, new_app, read_body, timestamp

MOST_ITEMS = 10_000
PAGE = 100
PUBLIC = {"Cache-Control": "public"}
"""A cache may keep such an answer as long as its settings say."""

Item = dict[str, Any]


class Kind(NamedTuple):
    """One collection of a service."""

    path: str
    word: str
    """What one of its items is called."""
    wanted: Kinds
    """What a new item must say."""
    optional: Kinds
    """What it may say."""
    public: bool = False
    """Whether caches may keep what is answered."""


def collections(given: Surroundings, kinds: Iterable[Kind], health_path: str = "/health") -> web.Application:
    """A service that has nothing but collections."""
    app = new_app(given, health_path)
    for kind in kinds:
        app.add_routes(Collection(kind, given.clock).routes())
    return app


class Collection:
    """The items of one kind, in memory. Whoever makes one is its owner, who alone may change it."""

    def __init__(self, kind: Kind, clock: Clock) -> None:
        self._path, self._word, self._wanted, self._optional, public = kind
        self._headers = PUBLIC if public else {}
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
        return answer({"count": len(found), "results": found[::-1][:PAGE]}, headers=self._headers)

    async def show(self, request: web.Request) -> web.Response:
        return answer(self.of(request.match_info["id"]), headers=self._headers)

    async def change(self, request: web.Request) -> web.Response:
        item = self._own(request)
        item |= await read_body(request, {}, {**self._wanted, **self._optional})
        return answer(item)

    async def delete(self, request: web.Request) -> web.Response:
        del self.items[self._own(request)["id"]]
        return web.Response(status=204)

    def routes(self) -> list[web.RouteDef]:
        """All five; one item is at `<path><id>`, with a slash at the end or not."""
        path = self._path
        one = path + "{id:[^/]+}{slash:/?}"
        return [
            web.post(path, self.create),
            web.get(path, self.show_all),
            web.get(one, self.show),
            web.put(one, self.change),
            web.delete(one, self.delete),
        ]
