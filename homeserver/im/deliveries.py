"""What has come to whom: one watermark a reader and conversation, moved by what their devices ask for next.

A device that syncs from a place has everything before it. Rooms of two and small groups are followed; in others nobody
is told. What was read has come as well, which is all that is known of the users of servers that know nothing of this:
the others tell it (`im.hearth.delivery`), and only the servers of those whose messages came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from federation.wire.edus import DELIVERY, DeliveryMark, delivery_content
from federation.wire.transactions import encode_edu
from homeserver.errors import NotFound
from homeserver.ids import EventID, RoomID, ServerName, UserID, domain_of, is_user_id
from homeserver.im.group_shapes import GROUP
from homeserver.rooms.acl import is_server_allowed
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.runtime.tasks import Tasks
from storage import events as event_rows
from storage import federation as federation_rows
from storage import im_deliveries as rows
from storage.database import Database
from storage.transaction import Slot, Transaction

MAX_MEMBERS = 200
MAX_WAITING = 50_000
"""So many users have messages on the way at once; of the others it is noted when they sync for the first time."""
MAX_KNOWN = 100_000
MAX_ROOMS_TOLD = 500
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
        *,
        server_name: ServerName,
        tells_others: bool,
    ) -> None:
        self._db = db
        self._rooms = rooms
        self._clock = clock
        self._tasks = tasks
        self._server_name = server_name
        self._tells_others = tells_others
        # Where the newest message stands that each user's devices may not have, by room.
        self._waiting: dict[UserID, dict[RoomID, int]] = {}
        # Who has synced since the process began: what came before is looked up once.
        self._known: set[UserID] = set()
        notifier.subscribe(self._heard)

    def synced(self, user_id: UserID, position: int) -> None:
        """A device of the user asks for what came after `position`."""
        if user_id not in self._known:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known.add(user_id)
            self._tasks.spawn(f"deliveries to {user_id}", self._look_back(user_id, position))
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
        """A device of the user has the conversation up to a message.

        Raises:
            NotFound: there is no such message.
        """
        row = await self._db.read(_by_seq, cid, seq)
        if row is None or row.position is None:
            raise NotFound(f"the conversation has no message {seq}")
        await self._save(user_id, [cid], row.position)

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """Another server tells what has come to the devices of its users."""
        by_room = msgspec.convert(content, dict[str, dict[str, DeliveryMark]])
        for room_id, marks in list(by_room.items())[:MAX_ROOMS_TOLD]:
            room = await self._rooms.find_or_load(RoomID(room_id))
            if room is None or not room.local_joined or not is_server_allowed(room, origin):
                continue
            for name, mark in marks.items():
                user_id = UserID(name)
                if is_user_id(name) and domain_of(user_id) == origin and room.is_joined(user_id):
                    await self._receive_one(room, user_id, mark)

    async def _receive_one(self, room: LiveRoom, user_id: UserID, mark: DeliveryMark) -> None:
        position = await self._db.read(_position_in, room.room_id, mark.event_id)
        if position is not None and is_followed(room):
            await self._db.run(self._mark, user_id, [room.room_id], position, mark.ts)

    async def _look_back(self, user_id: UserID, position: int) -> None:
        """What waited for the user when the process began."""
        waiting = await self._db.read(rows.rooms_behind, user_id, position)
        if waiting:
            await self._save(user_id, waiting, position)

    async def _save(self, user_id: UserID, rooms: Sequence[RoomID], position: int) -> None:
        followed = [room_id for room_id in rooms if is_followed(await self._rooms.load(room_id))]
        if followed:
            await self._db.run(self._mark, user_id, followed, position, self._clock.now_ms())

    def _mark(
        self, txn: Transaction, user_id: UserID, rooms: Sequence[RoomID], position: int, ts: int
    ) -> None:
        for room_id in rooms:
            newest = rows.newest_of_others(txn, room_id, user_id, position)
            before = rows.find(txn, room_id, user_id)
            if newest is None or newest.position is None or newest.position <= before:
                continue
            senders = rows.senders_between(txn, room_id, before, newest.position)
            slot = self._tell(txn, room_id, user_id, newest.event_id, ts, senders)
            if slot is not None:
                rows.save(txn, room_id, user_id, newest, ts, slot)

    def _tell(
        self,
        txn: Transaction,
        room_id: RoomID,
        user_id: UserID,
        event_id: EventID,
        ts: int,
        senders: Sequence[UserID],
    ) -> Slot | None:
        """Log it for the senders here, owe it to the servers of the others; the slot of the last, if there is any."""
        slot: Slot | None = None
        elsewhere: set[ServerName] = set()
        for sender in senders:
            if sender == user_id:
                continue
            if domain_of(sender) == self._server_name:
                slot = txn.log(LogKind.DELIVERY, room_id=room_id, user_id=sender, ref=user_id)
            elif domain_of(user_id) == self._server_name:
                elsewhere.add(domain_of(sender))
        if elsewhere and self._tells_others:
            edu = encode_edu(DELIVERY, delivery_content(room_id, user_id, event_id, ts))
            key = f"{DELIVERY} {room_id} {user_id}"
            owed = federation_rows.queue_edu(txn, elsewhere, edu, now_ms=self._clock.now_ms(), key=key)
            slot = owed or slot
        return slot

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
                if user != payload.event.sender:
                    self._wait_for(user, room.room_id, entry.position)

    def _wait_for(self, user_id: UserID, room_id: RoomID, position: int) -> None:
        if user_id in self._waiting or len(self._waiting) < MAX_WAITING:
            self._waiting.setdefault(user_id, {})[room_id] = position
        else:
            self._known.discard(user_id)


def is_followed(room: LiveRoom) -> bool:
    """Whether a room's members are told what has come to whom."""
    members = len(room.joined)
    if room.room_type is None:
        return members <= DIRECT_MEMBERS
    return room.room_type == GROUP and members <= MAX_MEMBERS


def _by_seq(txn: Transaction, cid: RoomID, seq: int) -> event_rows.EventRow | None:
    room = txn.find_interned(cid)
    found = [] if room is None else event_rows.by_seq(txn, room, seq, seq)
    return found[0] if found else None


def _position_in(txn: Transaction, room_id: RoomID, event_id: str) -> int | None:
    row = event_rows.find(txn, event_id)
    return None if row is None or row.room != txn.find_interned(room_id) else row.position
