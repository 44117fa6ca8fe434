"""Moments: posting, liking, commenting and taking back. Each is an event that stock clients show in their way."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from homeserver.errors import Forbidden, InvalidParam, NotFound
from homeserver.ids import EventID, RoomID, UserID, is_user_id
from homeserver.im.moment_shapes import LIKE, MOMENTS, Audience, Location, Media, compose, is_post
from homeserver.im.moments_rooms import MomentsRooms
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.sending import DuplicateAnnotation, Sending
from homeserver.rooms.timeline import TimelineEvent, TransactionId
from storage import events as event_rows
from storage import im_moments as moment_rows
from storage.database import Database
from storage.transaction import Transaction

MAX_COMMENT = 2000


@dataclass(slots=True, frozen=True, kw_only=True)
class NewMoment:
    """What somebody wants to post."""

    author: UserID
    audience: Audience
    text: str = ""
    media: Sequence[Media] = ()
    location: Location | None = None
    mentions: Sequence[UserID] = ()
    transaction: TransactionId | None = None


class Moments:
    """Writes moments and what belongs to them."""

    def __init__(self, db: Database, rooms: MomentsRooms, sending: Sending, access: RoomAccess) -> None:
        self._db = db
        self._rooms = rooms
        self._sending = sending
        self._access = access

    async def post(self, wanted: NewMoment) -> tuple[EventID, RoomID]:
        """
        Raises:
            InvalidParam: it says nothing, or too much.
        """
        if not all(is_user_id(user) for user in wanted.mentions):
            raise InvalidParam("mentions must be user IDs")
        content = compose(wanted.text, wanted.media, wanted.location, wanted.mentions)
        room_id = await self._rooms.ensure(wanted.author, wanted.audience)
        event_id = await self._sending.message(
            room_id, wanted.author, "m.room.message", content, transaction=wanted.transaction
        )
        return event_id, room_id

    async def find(self, moment_id: EventID, viewer: UserID) -> tuple[LiveRoom, TimelineEvent]:
        """A moment that the viewer may see.

        Raises:
            NotFound: there is none, or it is not for them.
        """
        room_id = await self._db.read(_room_of_event, moment_id)
        if room_id is None:
            raise NotFound(f"no moment {moment_id}")
        room, entry = await self._access.event(room_id, moment_id, viewer)
        if room.room_type != MOMENTS or not is_post(entry.event, room.create_event.sender):
            raise NotFound(f"no moment {moment_id}")
        return room, entry

    async def delete(self, moment_id: EventID, user_id: UserID) -> None:
        """
        Raises:
            Forbidden: it is somebody else's.
        """
        room, entry = await self.find(moment_id, user_id)
        if entry.event.sender != user_id:
            raise Forbidden("one deletes one's own moments")
        await self._sending.redaction(room.room_id, user_id, moment_id, {})

    async def like(self, moment_id: EventID, user_id: UserID) -> int:
        """Like a moment; once is enough. How many like it."""
        room, _ = await self.find(moment_id, user_id)
        relation = {"rel_type": "m.annotation", "event_id": moment_id, "key": LIKE}
        # Liking twice is liking.
        with suppress(DuplicateAnnotation):
            await self._sending.message(room.room_id, user_id, "m.reaction", {"m.relates_to": relation})
        return len(await self.likes(moment_id))

    async def unlike(self, moment_id: EventID, user_id: UserID) -> int:
        """Take one's like back. How many like it still."""
        room, _ = await self.find(moment_id, user_id)
        for event_id in await self._db.read(_likes_of, moment_id, user_id):
            await self._sending.redaction(room.room_id, user_id, event_id, {})
        return len(await self.likes(moment_id))

    async def likes(self, moment_id: EventID) -> list[UserID]:
        """Who likes a moment, the first first."""
        related = (await self._db.read(moment_rows.reactions, [moment_id]))[moment_id]
        return list(dict.fromkeys(likers(related)))

    async def comment(
        self,
        moment_id: EventID,
        user_id: UserID,
        body: str,
        reply_to: EventID | None,
        transaction: TransactionId | None = None,
    ) -> EventID:
        """Comment on a moment, or reply to a comment on it.

        Raises:
            NotFound: there is no such moment, or no such comment on it.
        """
        if not body.strip() or len(body) > MAX_COMMENT:
            raise InvalidParam(f"a comment has 1 to {MAX_COMMENT} characters")
        room, _ = await self.find(moment_id, user_id)
        if reply_to is not None:
            await self._comment(room, moment_id, reply_to, user_id)
        relation = {
            "rel_type": "m.thread",
            "event_id": moment_id,
            "m.in_reply_to": {"event_id": reply_to or moment_id},
            "is_falling_back": reply_to is None,
        }
        content: dict[str, Any] = {"msgtype": "m.text", "body": body.strip(), "m.relates_to": relation}
        return await self._sending.message(
            room.room_id, user_id, "m.room.message", content, transaction=transaction
        )

    async def delete_comment(self, moment_id: EventID, comment_id: EventID, user_id: UserID) -> None:
        """
        Raises:
            Forbidden: neither the comment nor the moment is the user's.
        """
        room, moment = await self.find(moment_id, user_id)
        comment = await self._comment(room, moment_id, comment_id, user_id)
        if user_id not in (comment.event.sender, moment.event.sender):
            raise Forbidden("a comment is deleted by who wrote it, or by whose moment it is on")
        await self._sending.redaction(room.room_id, user_id, comment_id, {})

    async def _comment(
        self, room: LiveRoom, moment_id: EventID, comment_id: EventID, viewer: UserID
    ) -> TimelineEvent:
        _, entry = await self._access.event(room.room_id, comment_id, viewer)
        relation = entry.event.content.get("m.relates_to")
        if not isinstance(relation, dict) or relation.get("event_id") != moment_id:
            raise NotFound(f"no comment {comment_id} on this moment")
        return entry


def likers(related: Sequence[moment_rows.Reaction]) -> list[UserID]:
    return [one.sender for one in related if one.type == "m.reaction" and one.key == LIKE]


def _room_of_event(txn: Transaction, event_id: EventID) -> RoomID | None:
    row = event_rows.find(txn, event_id)
    return None if row is None else RoomID(txn.interned(row.room))


def _likes_of(txn: Transaction, moment_id: EventID, user_id: UserID) -> list[EventID]:
    related = moment_rows.reactions(txn, [moment_id])[moment_id]
    numbers = [one.number for one in related if one.sender == user_id and one.key == LIKE]
    return [row.event_id for row in event_rows.by_number(txn, numbers).values()]
