"""Whether a user still has to be told of an event when its turn comes."""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.ids import UserID
from homeserver.push.notified import outcome_of
from homeserver.rooms.registry import Rooms
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.unread import NOTIFY
from storage import account_data
from storage.database import Database

IGNORED = "m.ignored_user_list"


class News:
    """Knows what users have read, left or do not want to hear."""

    def __init__(self, db: Database, rooms: Rooms) -> None:
        self._db = db
        self._rooms = rooms

    async def is_news(self, user_id: UserID, entry: TimelineEvent) -> bool:
        """False once the user has read it or left, if it was redacted, or is by somebody whom they ignore."""
        event = entry.event
        if not outcome_of(entry.notified, user_id) & NOTIFY or entry.redacted_because is not None:
            return False
        room = await self._rooms.find_or_load(event.room_id)
        if room is not None:
            if room.membership(user_id) not in ("join", "invite"):
                return False
            thread = None if entry.notified is None else entry.notified.thread
            if room.read_up_to(user_id, room.joined_at.get(user_id, 0) - 1).covers(entry.position, thread):
                return False
        stored = await self._db.read(account_data.find, user_id, None, IGNORED)
        ignored: Any = {} if stored is None else msgspec.json.decode(stored).get("ignored_users")
        return not (isinstance(ignored, dict) and event.sender in ignored)
