"""The endpoints at which the chat's handlers have messages kept, and ask for those a client has missed.

Part of the matching service, because who may write to whom is decided in the same transaction.
"""

import re
from functools import partial

from aiohttp import web

from examples.chat import inbox
from examples.chat.database import Database
from examples.chat.frames import LONGEST_ID, LONGEST_TEXT
from examples.chat.profile import LONGEST_UID, Invalid
from examples.chat.service import Clock, answer, is_internal, read_object, refuse, refuse_fields

FIELDS = {"from": LONGEST_UID, "to": LONGEST_UID, "id": LONGEST_ID, "text": LONGEST_TEXT}
"""Of a message that is kept, and the most characters of each."""
STRANGER = "for services only: send X-Internal-Key"


class Letters:
    """`key` is the internal key; without one, only callers on this machine get in."""

    def __init__(self, database: Database, key: str, clock: Clock) -> None:
        self._database = database
        self._key = key
        self._clock = clock

    async def keep(self, request: web.Request) -> web.Response:
        """Gives a message of `from` to `to` its number, one for each `id`, however often it is sent."""
        if not self._is_internal(request):
            return refuse(403, STRANGER)
        body = await read_object(request)
        if isinstance(body, web.Response):
            return body
        wrong = {
            field: f"must be a text of 1 to {longest} characters"
            for field, longest in FIELDS.items()
            if not isinstance(text := body.get(field), str) or not 1 <= len(text) <= longest
        }
        if wrong:
            return refuse_fields(Invalid(wrong))
        sender, to, id, text = (body[field] for field in FIELDS)
        letter = partial(inbox.keep, sender=sender, to=to, id=id, text=text, now=self._clock())
        seq = await self._database.write(letter)
        if seq is None:
            return refuse(409, "the two are not matched")
        return answer({"status": "success", "seq": seq})

    async def missed(self, request: web.Request) -> web.Response:
        """What was written to `?uid=` after the number `?after=`."""
        if not self._is_internal(request):
            return refuse(403, STRANGER)
        uid, after = request.query.get("uid", ""), request.query.get("after", "0")
        if not 1 <= len(uid) <= LONGEST_UID:
            return refuse_fields(Invalid({"uid": f"must have 1 to {LONGEST_UID} characters"}))
        if not re.fullmatch(r"[0-9]{1,15}", after):
            return refuse_fields(
                Invalid({"after": "must be the number of the last message that arrived, or 0"})
            )
        found = await self._database.read(partial(inbox.after, uid=uid, seq=int(after)))
        messages = [
            {"seq": letter.seq, "from": letter.sender, "id": letter.id, "text": letter.text}
            for letter in found.letters
        ]
        return answer({"status": "success", "messages": messages, "last": found.last, "more": found.more})

    def _is_internal(self, request: web.Request) -> bool:
        return is_internal(request.remote, request.headers.get("X-Internal-Key", ""), self._key)
