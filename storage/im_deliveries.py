"""How far conversations have come to their readers' devices: one watermark a reader and conversation."""

from __future__ import annotations

from typing import NamedTuple

from homeserver.ids import EventID, RoomID, UserID
from storage import events as event_rows
from storage.events import EventRow
from storage.transaction import Slot, Transaction


class Delivery(NamedTuple):
    """How far a conversation has come to one reader's devices."""

    room_id: RoomID
    user_id: UserID
    event_id: EventID
    event_position: int
    ts: int


def save(txn: Transaction, room_id: str, user_id: str, event: EventRow, ts: int, position: Slot) -> None:
    txn.put(
        "im_deliveries",
        ("room", "user_name", "event_id", "event_position", "ts", "position"),
        (txn.intern(room_id), txn.intern(user_id), event.event_id, event.position or 0, ts, position),
        ("room", "user_name"),
    )


def find(txn: Transaction, room_id: str, user_id: str) -> int:
    """The position up to which the room has come to the user's devices."""
    room, user = txn.find_interned(room_id), txn.find_interned(user_id)
    return int(
        txn.value("SELECT event_position FROM im_deliveries WHERE room = ? AND user_name = ?", room, user)
        or 0
    )


def list_of_room(txn: Transaction, room_id: str) -> list[Delivery]:
    rows = txn.all(
        "SELECT n.value, d.event_id, d.event_position, d.ts FROM im_deliveries d"
        " JOIN names n ON n.nid = d.user_name WHERE d.room = ?",
        txn.find_interned(room_id),
    )
    return [
        Delivery(RoomID(room_id), UserID(user), EventID(event_id), int(position), int(ts))
        for user, event_id, position, ts in rows
    ]


def newest_of_others(txn: Transaction, room_id: str, user_id: str, position: int) -> EventRow | None:
    """The newest message at or before a place that somebody else sent."""
    room, user = txn.find_interned(room_id), txn.find_interned(user_id)
    row = txn.one(
        "SELECT number FROM events WHERE room = ? AND position <= ? AND sender <> ? AND seq IS NOT NULL"
        " AND state_key IS NULL AND flags & 7 = 0 ORDER BY position DESC LIMIT 1",
        room,
        position,
        user,
    )
    return None if row is None else event_rows.by_number(txn, [row[0]])[row[0]]


def senders_between(txn: Transaction, room_id: str, after: int, until: int) -> list[UserID]:
    """Whose messages lie in (after, until]."""
    rows = txn.all(
        "SELECT DISTINCT n.value FROM events e JOIN names n ON n.nid = e.sender WHERE e.room = ?"
        " AND e.position > ? AND e.position <= ? AND e.seq IS NOT NULL AND e.state_key IS NULL"
        " AND e.flags & 7 = 0 ORDER BY n.value",
        txn.find_interned(room_id),
        after,
        until,
    )
    return [UserID(str(sender)) for (sender,) in rows]


def rooms_behind(txn: Transaction, user_id: str, position: int) -> list[RoomID]:
    """The user's conversations whose newest message is at or before a place and not known to have come."""
    rows = txn.all(
        "SELECT n.value FROM membership m JOIN im_rooms h ON h.room = m.room JOIN names n ON n.nid = m.room"
        " LEFT JOIN im_deliveries d ON d.room = m.room AND d.user_name = m.user_name"
        " WHERE m.user_name = ? AND m.membership = 'join' AND h.last_position > m.joined_at"
        " AND h.last_position <= ? AND COALESCE(d.event_position, 0) < h.last_position",
        txn.find_interned(user_id),
        position,
    )
    return [RoomID(str(room_id)) for (room_id,) in rows]
