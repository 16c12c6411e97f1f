"""What a handler asks of others: who is matched with whom, keep this, where is somebody, take this.

The gateway is asked for the two things only it knows: the address of a matching instance
(`/get_service_instance`) and the handler a user sits on (`/handlers/locate`). Everything else goes
directly. While the gateway can't be asked, its last answer counts: two who talk don't notice that it
restarts.

The only file of the handler that knows aiohttp's client; what went wrong comes back as a value.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import aiohttp
import orjson
import structlog

from examples.chat.brief import BriefCache
from examples.chat.frames import Delivered, Frame, Letter, Missed, NotHere, Reason, Undelivered
from registry.backends.shared.session import read_text

log = structlog.get_logger()

MATCH_KEPT_S = 2.0
"""A partner who left can be written to for so long."""
MATCHING_KEPT_S = 10.0
"""As long as the gateway counts a handed-out instance as busy."""
PLACE_KEPT_S = 10.0
ANSWERS = (200, 409)
"""Of matching: yes, and that the two are not matched."""
LARGEST_ANSWER = 256 * 1024
"""Bytes; a page of missed messages is under that."""
TIMEOUT = aiohttp.ClientTimeout(total=2.0, sock_connect=1.0)


@dataclass(frozen=True, slots=True)
class Place:
    """The handler a user sits on."""

    handler: str
    url: str


@dataclass(frozen=True, slots=True)
class _NoAnswer:
    sent: bool
    """False when the request certainly did not arrive."""


class Peers:
    """Async context manager. `peer_url` is a pattern such as `http://{handler_id}:8001`, for networks where
    handlers reach each other elsewhere than clients reach them."""

    def __init__(
        self,
        gateways: Sequence[str],
        key: str,
        *,
        peer_url: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gateways = [gateway.rstrip("/") for gateway in gateways]
        self._headers = {"X-Internal-Key": key} if key else {}
        self._peer_url = peer_url
        self._clock = clock
        self._partners: BriefCache[str] = BriefCache(MATCH_KEPT_S, 10_000)
        self._places: BriefCache[Place] = BriefCache(PLACE_KEPT_S, 10_000)
        self._matching: BriefCache[str] = BriefCache(MATCHING_KEPT_S, 1)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Peers":
        self._session = aiohttp.ClientSession(
            timeout=TIMEOUT,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=256),
            json_serialize=lambda value: orjson.dumps(value).decode(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def matched(self, one: str, other: str) -> bool | None:
        """Whether the two may write to each other; `None` when nobody can say at the moment.

        A no is never taken from memory: somebody who has just been matched need not wait to be believed.
        """
        if self._partners.get(one, self._clock()) == other:
            return True
        answer = await self._ask_matching("GET", "/partner", params={"uid": one})
        if answer is None:
            return True if self._partners.last(one) == other else None
        partner = answer[1].get("uid")
        if isinstance(partner, str):
            self._partners.put(one, partner, self._clock())
        else:
            self._partners.drop(one)
        return bool(partner == other)

    async def keep(self, sender: str, message: Frame) -> int | Undelivered:
        """The number of a message among those for its recipient; kept, so that it can be missed by nobody."""
        letter = {"from": sender, "to": message.to, "id": message.id, "text": message.text}
        answer = await self._ask_matching("POST", "/messages", json=letter)
        if answer is None:
            return Undelivered(Reason.UNAVAILABLE)
        seq = answer[1].get("seq")
        return seq if isinstance(seq, int) else Undelivered(Reason.NOT_MATCHED)

    async def missed(self, uid: str, after: int) -> Missed | None:
        """What was written to somebody after a number; `None` when nobody can say at the moment."""
        answer = await self._ask_matching("GET", "/messages", params={"uid": uid, "after": str(after)})
        if answer is None:
            return None
        try:
            told = answer[1]
            letters = (Letter(it["seq"], it["from"], it["id"], it["text"]) for it in told["messages"])
            return Missed(tuple(letters), int(told["last"]), bool(told["more"]))
        except (KeyError, TypeError, ValueError):
            log.warning("bad_answer_of_matching")
            return None

    async def locate(self, uid: str) -> Place | Undelivered:
        """Where the gateway last saw the user.

        One that it doesn't know may still be where it was: a gateway that keeps seats in its memory
        forgets them when it restarts, while connections to handlers go on.
        """
        if place := self._places.get(uid, self._clock()):
            return place
        answer = await self._ask_gateway("/handlers/locate", {"uid": uid})
        if answer is None:
            return self._places.last(uid) or Undelivered(Reason.UNAVAILABLE)
        status, body = answer
        if status == 404:
            return self._places.last(uid) or Undelivered(Reason.OFFLINE)
        handler, url = body.get("handler_id"), body.get("url")
        if status != 200 or not isinstance(handler, str) or not isinstance(url, str):
            return Undelivered(Reason.UNAVAILABLE)
        place = Place(handler, self._peer_url.format(handler_id=handler) if self._peer_url else url)
        self._places.put(uid, place, self._clock())
        return place

    def forget_place(self, uid: str) -> None:
        self._places.drop(uid)

    async def hand_over(
        self, place: Place, to: str, frame: Mapping[str, str]
    ) -> Delivered | Undelivered | NotHere:
        """Gives a frame to the handler at `place`, for its client `to`."""
        answer = await self._ask("POST", f"{place.url}/deliver", json={"to": to, "frame": dict(frame)})
        if isinstance(answer, _NoAnswer):
            return Undelivered(Reason.HANDLER_UNREACHABLE) if answer.sent else NotHere()
        status, body = answer
        if status == 200:
            return Delivered(place.handler)
        if status == 404:
            return NotHere()
        log.warning("delivery_refused", handler=place.handler, status=status, message=body.get("message"))
        return Undelivered(Reason.HANDLER_UNREACHABLE)

    async def _ask_matching(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> tuple[int, dict[str, Any]] | None:
        """The answer of an instance that has one. Nothing asked here does harm when it is asked twice."""
        for _ in range(2):  # the instance we were given may have gone: ask for another one, once
            matching = await self._matching_url()
            if matching is None:
                break
            answer = await self._ask(method, matching + path, params=params, json=json)
            if not isinstance(answer, _NoAnswer) and answer[0] in ANSWERS:
                return answer
            log.warning("matching_failed", url=matching)
            self._matching.drop("matching")
        return None

    async def _matching_url(self) -> str | None:
        if url := self._matching.get("matching", self._clock()):
            return url
        answer = await self._ask_gateway("/get_service_instance", {"service_name": "matching"})
        if answer is None:
            return self._matching.last("matching")
        instance = answer[1].get("instance") if answer[0] == 200 else None
        url = instance.get("url") if isinstance(instance, dict) else None
        if not isinstance(url, str):
            return None
        self._matching.put("matching", url, self._clock())
        return url

    async def _ask_gateway(self, path: str, params: Mapping[str, str]) -> tuple[int, dict[str, Any]] | None:
        """The answer of the first gateway that has one; that gateway comes first the next time."""
        for gateway in list(self._gateways):
            answer = await self._ask("GET", gateway + path, params=params)
            if not isinstance(answer, _NoAnswer) and answer[0] < 500:
                return answer
            log.warning("gateway_failed", gateway=gateway, path=path)
            self._gateways.append(self._gateways.pop(0))
        return None

    async def _ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> tuple[int, dict[str, Any]] | _NoAnswer:
        assert self._session is not None
        try:
            async with self._session.request(
                method, url, params=params, json=json, allow_redirects=False
            ) as answer:
                body = orjson.loads(await read_text(answer, LARGEST_ANSWER))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            return _NoAnswer(sent=False)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return _NoAnswer(sent=True)
        return answer.status, body if isinstance(body, dict) else {}
