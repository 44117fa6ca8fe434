"""What has come to whom: one watermark a reader and conversation, moved by what their devices ask for next.

A device that syncs from a place has everything before it. Rooms of two and small groups are followed; in others nobody
is told. What was read has come as well, which is also all that is known of other servers' users.
"""

from __future__ import annotations

from collections.abc import Sequence

from homeserver.ids import RoomID, UserID
from homeserver.im.group_shapes import GROUP
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.runtime.tasks import Tasks
from storage import events as event_rows
from storage import im_messages
from storage.database import Database
from storage.events import EventRow
from storage.transaction import Transaction

MAX_MEMBERS = 200
MAX_WAITING = 50_000
DIRECT_MEMBERS = 2


class Deliveries:
    """Moves the watermarks."""

    def __init__(
        self,
        db: Database,
        rooms: Rooms,
        notifier: Notifier,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._db = db
        self._rooms = rooms
        self._clock = clock
        self._tasks = tasks
        # Where the newest message stands that each user's devices may not have, by room.
        self._waiting: dict[UserID, dict[RoomID, int]] = {}
        notifier.subscribe(self._heard)

    def synced(self, user_id: UserID, position: int) -> None:
        """A device of the user asks for what came after `position`."""
        waiting = self._waiting.get(user_id)
        if not waiting:
            return
        came = [room_id for room_id, at in waiting.items() if at <= position]
        if came:
            for room_id in came:
                del waiting[room_id]
            if not waiting:
                del self._waiting[user_id]
            self._tasks.spawn(f"deliveries to {user_id}", self._save(user_id, came, position))

    async def acknowledge(self, user_id: UserID, cid: RoomID, seq: int) -> None:
        """A device of the user has the conversation up to a message."""
        row = await self._db.read(_by_seq, cid, seq)
        if row is not None and row.position is not None:
            await self._save(user_id, [cid], row.position)

    async def _save(self, user_id: UserID, rooms: Sequence[RoomID], position: int) -> None:
        await self._db.run(_save, user_id, rooms, position, self._clock.now_ms())

    def _heard(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            payload = entry.payload
            if entry.kind is not LogKind.EVENT or not isinstance(payload, TimelineEvent):
                continue
            if payload.seq is None or payload.event.state_key is not None:
                continue
            room = self._rooms.find(payload.event.room_id)
            if room is None or not is_followed(room):
                continue
            for user in room.local_joined:
                if user != payload.event.sender and len(self._waiting) < MAX_WAITING:
                    self._waiting.setdefault(user, {})[room.room_id] = entry.position


def is_followed(room: LiveRoom) -> bool:
    """Whether a room's members are told what has come to whom."""
    members = len(room.joined)
    if room.room_type is None:
        return members <= DIRECT_MEMBERS
    return room.room_type == GROUP and members <= MAX_MEMBERS


def _save(txn: Transaction, user_id: UserID, rooms: Sequence[RoomID], position: int, now_ms: int) -> None:
    for room_id in rooms:
        newest = im_messages.newest_of_others(txn, room_id, user_id, position)
        if newest is None or newest.position is None:
            continue
        if newest.position > im_messages.find_delivery(txn, room_id, user_id):
            sender = _sender(txn, newest)
            slot = txn.log(LogKind.DELIVERY, room_id=room_id, user_id=sender, ref=user_id)
            im_messages.save_delivery(txn, room_id, user_id, newest, now_ms, slot)


def _sender(txn: Transaction, row: EventRow) -> str:
    return txn.interned(int(txn.value("SELECT sender FROM events WHERE number = ?", row.number)))


def _by_seq(txn: Transaction, cid: RoomID, seq: int) -> EventRow | None:
    room = txn.find_interned(cid)
    rows = [] if room is None else event_rows.by_seq(txn, room, seq, seq)
    return rows[0] if rows else None
