"""What a user reads, deletes for themselves and clears: nobody else sees any of it but that they have read."""

from __future__ import annotations

from typing import Any

from homeserver.errors import InvalidParam, NotFound
from homeserver.ids import EventID, RoomID, UserID
from homeserver.im.conversation_projection import CLEARED
from homeserver.im.own_data import OwnData
from homeserver.im.settings import load_in as settings_of
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.read_markers import FULLY_READ, ReadMarkers
from homeserver.runtime.clock import Clock
from storage import concealment
from storage import events as event_rows
from storage.database import Database
from storage.transaction import Transaction


class OwnView:
    """Changes it."""

    def __init__(
        self,
        db: Database,
        access: RoomAccess,
        markers: ReadMarkers,
        own: OwnData,
        clock: Clock,
    ) -> None:
        self._db = db
        self._access = access
        self._markers = markers
        self._own = own
        self._clock = clock

    async def delete_for_me(self, user_id: UserID, event_id: EventID) -> None:
        """Hide a message from all clients of the user, and from nobody else."""
        room, entry = await self._access.event_anywhere(event_id, user_id)
        if entry.event.state_key is not None:
            raise InvalidParam("only messages can be deleted")
        await self._db.run(concealment.hide, user_id, room.room_id, event_id)

    async def read(self, user_id: UserID, cid: RoomID, up_to: int | EventID | None) -> None:
        """Mark everything up to a message as read, by its sequence number or ID; all of it without one.

        Raises:
            NotFound: there is no such message.
        """
        room = await self._access.joined(cid, user_id)
        event_id = await self._event_id(room, user_id, up_to)
        await self._own.change(user_id, cid, "m.marked_unread", _not_marked)
        if event_id is None:
            return
        shows = (await self._db.read(settings_of, user_id))["read_receipts"]
        kind = "m.read" if shows else "m.read.private"
        await self._markers.set(cid, user_id, {kind: event_id, FULLY_READ: event_id})

    async def clear(self, user_id: UserID, cid: RoomID) -> int:
        """Hide everything said so far from the user; the sequence number up to which that is."""
        room = await self._access.joined(cid, user_id)
        event_id = await self._event_id(room, user_id, None)
        if event_id is None:
            return 0
        seq = room.head.last_seq
        content = {"seq": seq, "event_id": event_id, "ts": self._clock.now_ms()}
        await self.read(user_id, cid, None)
        await self._own.change(user_id, cid, CLEARED, lambda _: content)
        return seq

    async def _event_id(self, room: LiveRoom, user_id: UserID, up_to: int | EventID | None) -> EventID | None:
        if isinstance(up_to, str):
            _, entry = await self._access.event(room.room_id, up_to, user_id)
            return entry.event.event_id
        if up_to is None:
            newest = next(reversed(room.timeline), None)
            return None if newest is None else newest.event.event_id
        found = await self._db.read(_by_seq, room.room_id, up_to)
        if found is None:
            raise NotFound(f"the conversation has no message {up_to}")
        return found


def _not_marked(content: dict[str, Any]) -> dict[str, Any]:
    return {"unread": False} if content.get("unread") else content


def _by_seq(txn: Transaction, room_id: RoomID, seq: int) -> EventID | None:
    room = txn.find_interned(room_id)
    rows = [] if room is None else event_rows.by_seq(txn, room, seq, seq)
    return rows[0].event_id if rows else None
