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
from gateway.peer_answers import alternates, etag, is_known, peer_body
from gateway.peer_questions import PeerQuestion, read_question
from gateway.runtime.endpoints.endpoint import REMEMBERED, REMEMBERED_LENGTH, Endpoint
from gateway.runtime.exchange import Exchange, Pairs
from gateway.runtime.reply import Reply, json_reply
from gateway.runtime.waiting_room import WaitingRoom
from registry.model import Instance, InstanceId, InstanceKey, ServiceName, ServiceSnapshot
from registry.runtime.watcher import Watcher

KEPT_REPLIES = 4096
"""As many instances are answered without writing their JSON anew; each takes about a kilobyte."""
KEPT_TAGS = 1024
FRESH_S = 1.0
"""After so long the alternates of a reply are chosen anew, by the load of then."""
NO_ROOM = "Too many callers wait for changes: ask without wait, or later."
INDEX = "X-Quaymaster-Index"
_IF_NONE_MATCH = istr("If-None-Match")


class _Kept(NamedTuple):
    """A reply and what it was written for."""

    chosen: Instance
    candidates: Candidates
    version: int
    until: float
    reply: Reply


@dataclass(slots=True)
class PeerEndpoint:
    balancer: Balancer
    watcher: Watcher
    handout_ttl_s: float
    room: WaitingRoom
    """For those who ask to be told of changes."""
    names: InstanceNames = field(default_factory=InstanceNames)
    _replies: dict[InstanceKey, _Kept] = field(default_factory=dict, repr=False)
    _tags: dict[ServiceName, tuple[Candidates, str]] = field(default_factory=dict, repr=False)
    _turn: int = 0

    def endpoints(self) -> list[Endpoint]:
        return [Endpoint("/get_service_instance", ("GET",), "internal", self.answer, head=False)]

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
        known = exchange.request.headers.get(_IF_NONE_MATCH)
        if known is not None and (unchanged := self._unchanged(snapshot, known)) is not None:
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
        now = self.balancer.clock()
        return self._written(chosen, snapshot, self._candidates(snapshot, now), now, excluded)

    def _unchanged(self, snapshot: ServiceSnapshot, known: str) -> Reply | None:
        """304 for a caller that knows who there is to choose among. It is handed nobody."""
        if not snapshot.instances:
            return None
        candidates = self._candidates(snapshot, self.balancer.clock())
        if not candidates.instances or not is_known(known, self._tag(snapshot.service, candidates)):
            return None
        return Reply(304, b"", self._about(snapshot, candidates))

    def _reply(self, chosen: Instance, snapshot: ServiceSnapshot) -> Reply:
        now = self.balancer.clock()
        candidates, known = self._candidates(snapshot, now), self._replies.get(chosen.key)
        if (
            known is not None
            and known.chosen is chosen
            and known.candidates is candidates
            and known.version == snapshot.version
            and now < known.until
        ):
            return known.reply
        if len(self._replies) >= KEPT_REPLIES:
            self._replies.clear()
        reply = self._written(chosen, snapshot, candidates, now)
        self._replies[chosen.key] = _Kept(chosen, candidates, snapshot.version, now + FRESH_S, reply)
        return reply

    def _written(
        self,
        chosen: Instance,
        snapshot: ServiceSnapshot,
        candidates: Candidates,
        now: float,
        without: frozenset[InstanceId] = frozenset(),
    ) -> Reply:
        self._turn += 1
        others = alternates(
            chosen, candidates, self.balancer.ledger.at(now), without=without, turn=self._turn
        )
        body = peer_body(chosen, others, self.handout_ttl_s)
        return json_reply(body, headers=self._about(snapshot, candidates))

    def _candidates(self, snapshot: ServiceSnapshot, now: float) -> Candidates:
        """Whom a hand-out may go to."""
        return self.balancer.service(snapshot.service).eligible.candidates(snapshot, now, hand_out=True)

    def _about(self, snapshot: ServiceSnapshot, candidates: Candidates) -> Pairs:
        return (("ETag", self._tag(snapshot.service, candidates)), (INDEX, str(snapshot.version)))

    def _tag(self, service: ServiceName, candidates: Candidates) -> str:
        known = self._tags.get(service)
        if known is not None and known[0] is candidates:
            return known[1]
        if len(self._tags) >= KEPT_TAGS:
            self._tags.clear()
        tag = etag(candidates)
        self._tags[service] = (candidates, tag)
        return tag


def _refusal(refused: Refused, snapshot: ServiceSnapshot) -> GatewayError:
    """With the index, so that the caller can wait until there is somebody."""
    error = from_refused(refused, named_by_client=True)
    return replace(error, headers=(*error.headers, (INDEX, str(snapshot.version))))


_remembered = lru_cache(REMEMBERED)(read_question)
"""The same few questions come again and again."""
