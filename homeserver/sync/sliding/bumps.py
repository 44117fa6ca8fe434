"""Where in the log a room last had something that people want to read: clients sort their rooms by it."""

from __future__ import annotations

from collections import OrderedDict

from homeserver.ids import RoomID
from homeserver.rooms.live_room import LiveRoom
from storage import events as event_rows
from storage import rooms as room_rows
from storage.database import Database
from storage.transaction import Transaction

BUMPING = frozenset(
    {
        "m.room.create",
        "m.room.message",
        "m.room.encrypted",
        "m.sticker",
        "m.call.invite",
        "m.poll.start",
        "org.matrix.msc3381.poll.start",
        "m.beacon_info",
    }
)
REMEMBERED = 20_000


class BumpStamps:
    """Finds the stamps in the end of the timeline that is in memory, else in the database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: OrderedDict[RoomID, tuple[int, int]] = OrderedDict()
        """The stamp of each room as of a position."""

    async def of(self, room: LiveRoom) -> int:
        """The log position of the last event that moves the room up."""
        for event in reversed(room.timeline):
            if event.event.type in BUMPING:
                return event.position
        known = self._known.get(room.room_id)
        if known is None or known[1] < room.timeline.start:
            until = room.position
            known = (await self._db.read(_last, room.room_id), until)
            self._known[room.room_id] = known
        self._known.move_to_end(room.room_id)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return known[0]


def _last(txn: Transaction, room_id: RoomID) -> int:
    return event_rows.last_of_types(txn, room_rows.number_of(txn, room_id), BUMPING)
