"""The fully-read marker of a room beside its receipts: the one is account data, the others are for the room.

Spec: https://spec.matrix.org/v1.19/client-server-api/#fully-read-markers
"""

from __future__ import annotations

from collections.abc import Mapping

from homeserver.errors import InvalidParam
from homeserver.ids import EventID, RoomID, UserID
from homeserver.rooms.invisible import IsInvisible, nobody
from homeserver.rooms.receipts import Receipts
from homeserver.users import account_data
from storage.database import Database

FULLY_READ = "m.fully_read"
READ = "m.read"
READ_PRIVATE = "m.read.private"


class ReadMarkers:
    """Moves the markers of local users."""

    def __init__(self, db: Database, receipts: Receipts, is_invisible: IsInvisible = nobody) -> None:
        self._is_invisible = is_invisible
        self._db = db
        self._receipts = receipts

    async def set(
        self, room_id: RoomID, user_id: UserID, events: Mapping[str, EventID], *, thread_id: str | None = None
    ) -> None:
        """Move markers, by receipt type or `m.fully_read`, to events.

        Raises:
            InvalidParam: the fully-read marker was given a thread.
        """
        if FULLY_READ in events:
            if thread_id is not None:
                raise InvalidParam("m.fully_read has no threads: thread_id must not be given")
            await self._db.run(
                account_data.save_in, user_id, room_id, FULLY_READ, {"event_id": events[FULLY_READ]}
            )
        for receipt_type, event_id in events.items():
            if receipt_type == READ and self._is_invisible(user_id):
                await self._receipts.give(room_id, user_id, READ_PRIVATE, event_id, thread_id=thread_id)
            elif receipt_type != FULLY_READ:
                await self._receipts.give(room_id, user_id, receipt_type, event_id, thread_id=thread_id)
