"""Badges: how much a user has not read, over all their rooms.

A room that is not in memory has not changed since it was, so what it counted for then still holds.
"""

from __future__ import annotations

from collections import OrderedDict

from homeserver.ids import RoomID, UserID
from homeserver.rooms.history import History
from homeserver.rooms.registry import Rooms
from storage import pushers as rows
from storage.database import Database

USERS_REMEMBERED = 5_000


class Badges:
    """Counts. With `by_room` a badge is the number of rooms with something unread, else that of messages."""

    def __init__(self, db: Database, rooms: Rooms, history: History, *, by_room: bool) -> None:
        self._db = db
        self._rooms = rooms
        self._history = history
        self._by_room = by_room
        self._known: OrderedDict[UserID, dict[RoomID, int]] = OrderedDict()

    async def of(self, user_id: UserID) -> int:
        """The user's badge as of now; an invitation counts for one."""
        before = self._known.pop(user_id, {})
        counts: dict[RoomID, int] = {}
        invitations = 0
        for place in await self._db.read(rows.list_rooms, user_id):
            if place.membership == "invite":
                invitations += 1
                continue
            room = self._rooms.find(place.room_id)
            if room is None and place.room_id in before:
                counts[place.room_id] = before[place.room_id]
                continue
            room = room or await self._rooms.find_or_load(place.room_id)
            if room is not None:
                unread = await self._history.unread_counts(room, user_id, place.since)
                counts[place.room_id] = unread.all_notify
        self._known[user_id] = counts
        while len(self._known) > USERS_REMEMBERED:
            self._known.popitem(last=False)
        unread_rooms = sum(1 for count in counts.values() if count)
        return invitations + (unread_rooms if self._by_room else sum(counts.values()))
