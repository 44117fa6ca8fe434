"""Calls: the facade's words for `m.call.*` events, so that a stock client at the other end hears the same.

The server carries descriptions and candidates; voices go between the clients, or over a TURN server.
Spec: https://spec.matrix.org/v1.19/client-server-api/#voice-over-ip
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from homeserver.errors import InvalidParam, NotFound
from homeserver.http.requester import Requester
from homeserver.ids import NAMESPACE, EventID, RoomID, UserID, parse_room_id
from homeserver.im.speaking import Speaking
from homeserver.rooms.sending import Sending
from homeserver.rooms.timeline import TimelineEvent, TransactionId
from homeserver.runtime.notifier import LogEntry, LogKind
from homeserver.runtime.random import Randomness
from storage import events as event_rows
from storage import im_messages
from storage.database import Database
from storage.transaction import Transaction

INVITE = "m.call.invite"
VERSION = "1"
LOOKED_BACK = 20_000
"""How many entries of the log are looked through for calls when the process begins."""
LOOKED_BACK_FOR_ONE = 500
REMEMBERED = 10_000
"""How many calls the server can name the room of; older ones are named with their room."""

Verb = Literal["answer", "candidates", "select", "negotiate", "reject", "hangup"]
_NEEDS: dict[str, tuple[str, str | None]] = {
    # verb: event type, the key that it must have
    "answer": ("m.call.answer", "answer"),
    "candidates": ("m.call.candidates", "candidates"),
    "select": ("m.call.select_answer", "selected_party_id"),
    "negotiate": ("m.call.negotiate", "description"),
    "reject": ("m.call.reject", None),
    "hangup": ("m.call.hangup", None),
}
_OWN = frozenset({"call_id", "party_id", "version", "cid"})


class BeginCall(msgspec.Struct):
    """`lifetime` in ms: how long the other end may take to answer."""

    offer: dict[str, Any]
    type: Literal["voice", "video"] = "voice"
    lifetime: Annotated[int, Meta(ge=1000, le=600_000)] = 60_000
    invitee: UserID | None = None
    client_msg_id: str | None = None


class Calls:
    """Begins calls and carries what belongs to them."""

    def __init__(self, db: Database, sending: Sending, speaking: Speaking, random: Randomness) -> None:
        self._db = db
        self._sending = sending
        self._speaking = speaking
        self._random = random
        self._rooms: OrderedDict[str, RoomID] = OrderedDict()

    async def start(self) -> None:
        """Remember the calls that had begun when the last process ended."""
        await self._look_back(LOOKED_BACK)

    async def _look_back(self, entries: int) -> None:
        for event in await self._db.read(im_messages.recent_events, INVITE, entries):
            pdu = msgspec.json.decode(event)
            call_id = pdu.get("content", {}).get("call_id")
            if isinstance(call_id, str):
                self._remember(call_id, RoomID(pdu["room_id"]))

    def heard(self, entries: Sequence[LogEntry]) -> None:
        """A listener of the notifier: whoever begins a call, from whatever client, its room is remembered."""
        for entry in entries:
            payload = entry.payload
            if entry.kind is LogKind.EVENT and isinstance(payload, TimelineEvent):
                event = payload.event
                call_id = event.content.get("call_id") if event.type == INVITE else None
                if isinstance(call_id, str):
                    self._remember(call_id, event.room_id)

    async def begin(self, cid: RoomID, who: Requester, call: BeginCall) -> tuple[str, EventID]:
        """Call everybody in a conversation, or one of them; the call's ID.

        Raises:
            InvalidParam: the offer has no description.
            Forbidden: the user is not in the conversation, or may not speak in it.
            Encrypted: the other end would not take it for a call.
        """
        if call.offer.get("type") != "offer" or not isinstance(call.offer.get("sdp"), str):
            raise InvalidParam('an offer is an object with type "offer" and an sdp')
        await self._speaking.check(await self._speaking.room(cid, who.user_id), who.user_id)
        transaction = None
        if call.client_msg_id is not None:
            if not 0 < len(call.client_msg_id) <= 255:
                raise InvalidParam("client_msg_id has between 1 and 255 characters")
            transaction = TransactionId(who.user_id, who.device_id, call.client_msg_id)
            known = await self._db.read(_find_begun, cid, transaction)
            if known is not None:
                return known
        call_id = self._random.token(16)
        content: dict[str, Any] = {
            "call_id": call_id,
            "party_id": who.device_id or "",
            "version": VERSION,
            "lifetime": call.lifetime,
            "offer": dict(call.offer),
            f"{NAMESPACE}call_type": call.type,
        }
        if call.invitee is not None:
            content["invitee"] = call.invitee
        event_id = await self._sending.message(cid, who.user_id, INVITE, content, transaction=transaction)
        self._remember(call_id, cid)
        return call_id, event_id

    async def act(self, call_id: str, verb: Verb, who: Requester, body: Mapping[str, Any]) -> EventID:
        """Answer a call, end it, or carry what the two ends must know. `cid` in the body names a forgotten room.

        Raises:
            NotFound: no such call is known.
            InvalidParam: what the verb needs is missing.
            Forbidden: the user is not in the conversation, or may not speak in it.
        """
        event_type, needed = _NEEDS[verb]
        if needed is not None and not body.get(needed):
            raise InvalidParam(f"{verb} needs {needed}")
        named = body.get("cid")
        if call_id not in self._rooms and named is None:
            # Who was told of the call before we were may be quicker.
            await self._look_back(LOOKED_BACK_FOR_ONE)
        room_id = self._rooms.get(call_id) or (parse_room_id(named) if isinstance(named, str) else None)
        if room_id is None:
            raise NotFound(f"no call {call_id}")
        await self._speaking.check(await self._speaking.room(room_id, who.user_id), who.user_id)
        more = {key: value for key, value in body.items() if key not in _OWN}
        content = {**more, "call_id": call_id, "party_id": who.device_id or "", "version": VERSION}
        return await self._sending.message(room_id, who.user_id, event_type, content)

    def _remember(self, call_id: str, room_id: RoomID) -> None:
        # The first who uses an ID has it: nobody else's call can be led away by using it again.
        self._rooms.setdefault(call_id, room_id)
        while len(self._rooms) > REMEMBERED:
            self._rooms.popitem(last=False)


def _find_begun(txn: Transaction, cid: RoomID, transaction: TransactionId) -> tuple[str, EventID] | None:
    """The call that the client has begun under this ID: its own, and its event's."""
    sender, device_id, client_id = transaction.user_id, transaction.device_id, transaction.txn_id
    event_id = im_messages.find_sent(txn, cid, sender, device_id, client_id)
    row = None if event_id is None else event_rows.find(txn, event_id)
    if event_id is None or row is None:
        return None
    call_id = msgspec.json.decode(row.json).get("content", {}).get("call_id")
    return (call_id, event_id) if isinstance(call_id, str) else None
