"""Sending, changing and taking back messages: each call is an event of the user's, as a stock client would send it.

A recall says in its redaction that it is one: nothing else would tell an admin's recall from a deletion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from homeserver.errors import Forbidden, InvalidParam, NotFound
from homeserver.http.requester import Requester
from homeserver.ids import EventID, RoomID, UserID, parse_event_id
from homeserver.im import message_shapes
from homeserver.im.errors import Encrypted, RecallExpired
from homeserver.im.group_shapes import GROUP, check_not_dissolved
from homeserver.im.message_shapes import CUSTOM, ENCRYPTED, NewMessage
from homeserver.im.message_views import RECALLED, content_now, latest_edits
from homeserver.im.speaking import Speaking
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.sending import DuplicateAnnotation, Sending
from homeserver.rooms.timeline import TimelineEvent, TransactionId
from homeserver.runtime.clock import Clock
from storage import im_messages
from storage.database import Database

MAX_FORWARDS = 20
GROUP_ADMIN = 50


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that is on the disk."""

    cid: RoomID
    event_id: EventID
    seq: int | None
    ts: int
    deduplicated: bool

    def view(self) -> dict[str, Any]:
        """As it is answered."""
        answer: dict[str, Any] = {"event_id": self.event_id, "seq": self.seq, "ts": self.ts}
        return answer | {"deduplicated": True} if self.deduplicated else answer


class Messages:
    """Sends and changes messages."""

    def __init__(
        self,
        db: Database,
        sending: Sending,
        access: RoomAccess,
        speaking: Speaking,
        clock: Clock,
        *,
        recall_window_ms: int,
    ) -> None:
        self._db = db
        self._sending = sending
        self._access = access
        self._speaking = speaking
        self._clock = clock
        self._recall_window_ms = recall_window_ms

    async def send(self, who: Requester, cid: RoomID, message: NewMessage) -> Sent:
        """Say something; the same `client_msg_id` again is answered with what was said first.

        Raises:
            NotFriend: the other has left, or was never a friend.
            Muted, GroupDissolved: the user may not speak in the group.
            Encrypted: the conversation is not for messages in the clear.
        """
        event_type, content = message_shapes.event_type_and_content(message)
        for related in (message.reply_to, message.thread):
            if related is not None:
                await self._access.event(cid, parse_event_id(related), who.user_id)
        return await self.send_event(who, cid, event_type, content, message.client_msg_id)

    async def send_event(
        self, who: Requester, cid: RoomID, event_type: str, content: dict[str, Any], client_id: str | None
    ) -> Sent:
        """As `send`, of content that is ready."""
        room = await self._speaking.room(cid, who.user_id)
        if client_id is not None and not 0 < len(client_id) <= 255:
            raise InvalidParam("client_msg_id has between 1 and 255 characters")
        transaction = None if client_id is None else TransactionId(who.user_id, who.device_id, client_id)
        known = None if transaction is None else await self._find_sent(room, transaction)
        if known is not None:
            return await self._sent(cid, known, who.user_id, deduplicated=True)
        await self._speaking.check(room, who.user_id, in_clear=event_type != ENCRYPTED)
        event_id = await self._sending.message(cid, who.user_id, event_type, content, transaction=transaction)
        return await self._sent(cid, event_id, who.user_id, deduplicated=False)

    async def forward(
        self, who: Requester, event_id: EventID, to: list[RoomID], client_id: str | None
    ) -> list[Sent]:
        """Say somewhere else what was said here, as it reads now; files are not sent twice."""
        if not 0 < len(to) <= MAX_FORWARDS:
            raise InvalidParam(f"a message is forwarded to between 1 and {MAX_FORWARDS} conversations")
        room, entry = await self._access.event_anywhere(event_id, who.user_id)
        event = entry.event
        if event.type == ENCRYPTED:
            raise Encrypted("what is encrypted can only be forwarded by whoever can read it")
        if event.type not in ("m.room.message", "m.sticker", CUSTOM) or entry.redacted_because:
            raise InvalidParam("this cannot be forwarded")
        for cid in to:
            # All or none: whoever may not speak in one of them sends nothing.
            await self._speaking.check(await self._speaking.room(cid, who.user_id), who.user_id)
        left_out = ("m.relates_to", "m.mentions", "m.new_content")
        edits = await self._db.read(latest_edits, room, [event_id])
        said = content_now(event, edits.get(event_id))
        content = {key: value for key, value in said.items() if key not in left_out}
        return [await self.send_event(who, cid, event.type, content, client_id) for cid in dict.fromkeys(to)]

    async def edit(self, who: Requester, event_id: EventID, body: str) -> Sent:
        """Say one's own message differently.

        Raises:
            Forbidden: it is not the user's.
        """
        if not body:
            raise InvalidParam("body must not be empty")
        room, entry = await self._load_own(who.user_id, event_id)
        await self._speaking.check(room, who.user_id)
        before = entry.event.content
        new = {k: v for k, v in before.items() if k not in ("m.relates_to", "formatted_body", "format")}
        new["body"] = body
        content = {
            **new,
            "body": f"* {body}",
            "m.mentions": {},
            "m.new_content": new,
            "m.relates_to": {"rel_type": "m.replace", "event_id": event_id},
        }
        sent = await self._sending.message(room.room_id, who.user_id, entry.event.type, content)
        return await self._sent(room.room_id, sent, who.user_id, deduplicated=False)

    async def recall(self, who: Requester, event_id: EventID, reason: str | None) -> int:
        """Take a message back for everybody: one's own within the time for it, a group's as its admin at any time.

        Raises:
            RecallExpired: it is too late.
            Forbidden: it is somebody else's.
        """
        room, entry = await self._access.event_anywhere(event_id, who.user_id)
        if entry.event.state_key is not None:
            raise Forbidden("this is no message")
        is_admin = room.room_type == GROUP and room.power_levels.user(who.user_id) >= GROUP_ADMIN
        if not is_admin and entry.event.sender != who.user_id:
            raise Forbidden("you can only recall what you have said yourself")
        if entry.redacted_because is not None:
            return entry.redacted_because.origin_server_ts
        age_ms = self._clock.now_ms() - entry.event.origin_server_ts
        if not is_admin and age_ms > self._recall_window_ms:
            raise RecallExpired("it is too late to recall this message")
        check_not_dissolved(room)
        content: dict[str, Any] = {RECALLED: True} if reason is None else {RECALLED: True, "reason": reason}
        await self._sending.redaction(room.room_id, who.user_id, event_id, content)
        return self._clock.now_ms()

    async def delete_for_all(self, who: Requester, event_id: EventID) -> None:
        """Redact one's own message, or anybody's with the power to."""
        room, entry = await self._access.event_anywhere(event_id, who.user_id)
        if entry.event.state_key is not None:
            raise InvalidParam("only messages can be deleted")
        check_not_dissolved(room)
        if entry.event.sender != who.user_id and await self._speaking.is_of_two(room, who.user_id):
            raise Forbidden("between two, each deletes what they have said themselves")
        if entry.redacted_because is None:
            await self._sending.redaction(room.room_id, who.user_id, event_id, {})

    async def react(self, who: Requester, event_id: EventID, key: str) -> tuple[EventID | None, bool]:
        """Put a key on a message: the reaction's ID, and whether it was there already."""
        if not 0 < len(key) <= 64:
            raise InvalidParam("a reaction has between 1 and 64 characters")
        room, entry = await self._access.event_anywhere(event_id, who.user_id)
        if entry.redacted_because is not None:
            raise NotFound("this message was taken back")
        await self._speaking.check(room, who.user_id, in_clear=False)
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        try:
            content = {"m.relates_to": relation}
            return await self._sending.message(room.room_id, who.user_id, "m.reaction", content), False
        except DuplicateAnnotation:
            found = await self._db.read(im_messages.reactions, [event_id], who.user_id)
            mine = (each.mine for each in found.get(event_id, []) if each.key == key)
            return next(mine, None), True

    async def take_reaction(self, who: Requester, event_id: EventID, key: str) -> None:
        """Take one's reaction away; `key` is what was put on the message, or the reaction's event ID.

        Raises:
            NotFound: there is none.
        """
        room, _ = await self._access.event_anywhere(event_id, who.user_id)
        check_not_dissolved(room)
        found = await self._db.read(im_messages.reactions, [event_id], who.user_id)
        for reaction in found.get(event_id, []):
            if reaction.mine is not None and key in (reaction.key, reaction.mine):
                await self._sending.redaction(room.room_id, who.user_id, reaction.mine, {})
                return
        raise NotFound("you have not reacted like this")

    async def _load_own(self, user_id: UserID, event_id: EventID) -> tuple[LiveRoom, TimelineEvent]:
        room, entry = await self._access.event_anywhere(event_id, user_id)
        if entry.event.sender != user_id or entry.event.state_key is not None:
            raise Forbidden("this is not your message")
        if entry.redacted_because is not None:
            raise NotFound("this message was taken back")
        return room, entry

    async def _find_sent(self, room: LiveRoom, transaction: TransactionId) -> EventID | None:
        known = room.transactions.get(transaction)
        if known is not None:
            return known
        return await self._db.read(
            im_messages.find_sent,
            room.room_id,
            transaction.user_id,
            transaction.device_id,
            transaction.txn_id,
        )

    async def _sent(self, cid: RoomID, event_id: EventID, user_id: UserID, *, deduplicated: bool) -> Sent:
        room = await self._access.joined(cid, user_id)
        entry = room.timeline.find(event_id)
        if entry is None:
            _, entry = await self._access.event(cid, event_id, user_id)
        return Sent(cid, event_id, entry.seq, entry.event.origin_server_ts, deduplicated)
