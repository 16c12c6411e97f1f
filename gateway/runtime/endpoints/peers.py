"""`/get_service_instance`: a microservice asks for a peer.

The plain question is asked all the time, so everything about its answer but the choice itself is kept: as
long as the same instances may be picked, nothing is read, sorted or written anew.
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from multidict import istr

from balancer.candidates import Candidates
from balancer.model import Refused
from balancer.runtime.call import Balancer
from gateway.errors import GatewayError, Reason, from_refused, gateway_error
from gateway.instance_names import InstanceNames
from gateway.openapi_answers import Peers
from gateway.openapi_operations import Operation, Parameter, Told
from gateway.peer_answers import alternates, etag, is_known, peer_body
from gateway.peer_questions import PeerQuestion, read_question
from gateway.runtime.endpoints.endpoint import REMEMBERED, REMEMBERED_LENGTH, Endpoint
from gateway.runtime.exchange import Exchange, Pairs
from gateway.runtime.reply import Reply, json_reply
from gateway.runtime.waiting_room import WaitingRoom
from registry.model import Instance, InstanceId, ServiceName, ServiceSnapshot
from registry.runtime.watcher import Watcher

KEPT_SERVICES = 256
KEPT_REPLIES = 256
"""Of one service. Each takes about a kilobyte, so all of them are 64 MB at the most."""
FRESH_S = 1.0
"""After so long the alternates of a reply are chosen anew, by the load of then."""
NO_ROOM = "Too many callers wait for changes: ask without wait, or later."
INDEX = "X-Quaymaster-Index"
_IF_NONE_MATCH = istr("If-None-Match")

ASKED = Operation(
    "An instance of a service",
    {
        200: Told("It counts as busier for `ttl_s` seconds.", Peers, headers={INDEX: "Of what is known."}),
        304: Told("`If-None-Match` was the tag: the same instances may be picked.", headers={"ETag": "It."}),
    },
    parameters=(
        Parameter("service_name", "Whose.", required=True),
        Parameter("exclude", "Ids or URLs of instances not to hand out, separated by commas."),
        Parameter(
            "wait", "Seconds to wait for news, with `index`.", schema={"type": "number", "maximum": 60}
        ),
        Parameter("index", f"The `{INDEX}` of an earlier answer.", schema={"type": "integer", "minimum": 0}),
        Parameter("If-None-Match", "The `ETag` of an earlier answer.", "header"),
    ),
    errors=(
        *(Reason.MISSING_PARAMETER, Reason.BAD_PARAMETER, Reason.UNKNOWN_SERVICE, Reason.NO_INSTANCES),
        *(Reason.NO_HEALTHY_INSTANCE, Reason.REGISTRY_UNREACHABLE, Reason.CIRCUIT_OPEN, Reason.BUSY),
    ),
    tag="peers",
)


class _Kept(NamedTuple):
    """What is told of one service for as long as these candidates are in force."""

    candidates: Candidates
    version: int
    about: Pairs
    """Tag and index."""
    replies: dict[InstanceId, tuple[float, Reply]]
    """By the chosen instance, each with the moment from which it is out of date."""


@dataclass(slots=True, repr=False)
class PeerEndpoint:
    balancer: Balancer
    watcher: Watcher
    handout_ttl_s: float
    room: WaitingRoom
    """For those who ask to be told of changes."""
    names: InstanceNames = field(default_factory=InstanceNames)
    _kept: dict[ServiceName, _Kept] = field(default_factory=dict)
    _turn: int = 0

    def endpoints(self) -> list[Endpoint]:
        path, methods = "/get_service_instance", ("GET",)
        return [Endpoint(path, methods, "internal", self.answer, head=False, operations=(ASKED,))]

    async def answer(self, exchange: Exchange) -> Reply | GatewayError:
        """`{"instance": {"url": …}}`. The instance counts as busier for `handout_ttl_s` seconds."""
        query = exchange.target.query
        question = _remembered(query) if len(query) <= REMEMBERED_LENGTH else read_question(query)
        if isinstance(question, GatewayError):
            return question
        exchange.service = question.service
        snapshot = await self.watcher.ask(question.service)
        if question.waits_at(snapshot.version):
            news = await self._news(question, snapshot)
            if isinstance(news, GatewayError):
                return news
            snapshot = news
        if question.excluded:
            return self._other_than(exchange, question, snapshot)
        known = exchange.request.headers.getall(_IF_NONE_MATCH, ())
        if known and (unchanged := self._unchanged(snapshot, ",".join(known))) is not None:
            return unchanged
        chosen = self.balancer.hand_out(snapshot, self.handout_ttl_s)
        if isinstance(chosen, Refused):
            return _refusal(chosen, snapshot)
        exchange.instance = chosen.id
        return self._reply(chosen, snapshot)

    async def _news(self, question: PeerQuestion, known: ServiceSnapshot) -> ServiceSnapshot | GatewayError:
        """What is known once it is something else, once the time is over, or once the gateway stops."""
        with self.room.place() as waits:
            if waits:
                news = self.watcher.changed(question.service, known.version, question.wait_s)
                return await self.room.hold(news) or known
        if self.room.closed:
            return known
        return gateway_error(Reason.OVERLOADED, message=NO_ROOM)

    def _other_than(
        self, exchange: Exchange, question: PeerQuestion, snapshot: ServiceSnapshot
    ) -> Reply | GatewayError:
        """For a caller that has tried some. It wants another one, whatever it knows already."""
        excluded = self.names.ids(snapshot, question.excluded)
        chosen = self.balancer.hand_out(snapshot, self.handout_ttl_s, excluded)
        if isinstance(chosen, Refused):
            return _refusal(chosen, snapshot)
        exchange.instance = chosen.id
        return self._written(chosen, self._known(snapshot), excluded)

    def _unchanged(self, snapshot: ServiceSnapshot, said: str) -> Reply | None:
        """304 for a caller that knows who there is to choose among. It is handed nobody."""
        if not snapshot.instances:
            return None
        known = self._known(snapshot)
        (_, tag), _ = known.about
        return Reply(304, b"", known.about) if known.candidates.instances and is_known(said, tag) else None

    def _reply(self, chosen: Instance, snapshot: ServiceSnapshot) -> Reply:
        known, now = self._known(snapshot), self.balancer.clock()
        kept = known.replies.get(chosen.id)
        if kept is not None and now < kept[0]:
            return kept[1]
        if len(known.replies) >= KEPT_REPLIES:
            known.replies.clear()
        reply = self._written(chosen, known)
        known.replies[chosen.id] = (now + FRESH_S, reply)
        return reply

    def _written(self, chosen: Instance, known: _Kept, without: frozenset[InstanceId] = frozenset()) -> Reply:
        self._turn += 1
        load_of = self.balancer.ledger.at(self.balancer.clock())
        others = alternates(chosen, known.candidates, load_of, without=without, turn=self._turn)
        return json_reply(peer_body(chosen, others, self.handout_ttl_s), headers=known.about)

    def _known(self, snapshot: ServiceSnapshot) -> _Kept:
        """Of the service as it is now: the same until somebody else may be picked."""
        service, eligible = snapshot.service, self.balancer.service(snapshot.service).eligible
        candidates = eligible.candidates(snapshot, self.balancer.clock(), hand_out=True)
        kept = self._kept.get(service)
        if kept is not None and kept.candidates is candidates and kept.version == snapshot.version:
            return kept
        if len(self._kept) >= KEPT_SERVICES:
            self._kept.clear()
        about = (("ETag", etag(candidates)), (INDEX, str(snapshot.version)))
        self._kept[service] = made = _Kept(candidates, snapshot.version, about, {})
        return made

    def __repr__(self) -> str:
        replies = sum(len(kept.replies) for kept in self._kept.values())
        return f"<PeerEndpoint: {replies} replies of {len(self._kept)} services kept>"


def _refusal(refused: Refused, snapshot: ServiceSnapshot) -> GatewayError:
    """With the index, so that the caller can wait until there is somebody."""
    error = from_refused(refused, named_by_client=True)
    return replace(error, headers=(*error.headers, (INDEX, str(snapshot.version))))


_remembered = lru_cache(REMEMBERED)(read_question)
"""The same few questions come again and again."""
