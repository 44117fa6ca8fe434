"""Keeps the projection of moments in step with the log: which rooms hold moments, and which posts are in them.

Live entries carry their events, so those of other rooms cost a look at the room's type. After a restart the follower
reads on from its place; emptied tables and a forgotten place are rebuilt the same way.
"""

from __future__ import annotations

from collections.abc import Sequence

from homeserver.events.event import Event
from homeserver.ids import EventID, RoomID
from homeserver.im.moment_shapes import MOMENTS, is_post
from homeserver.im.moments_rooms import audience_of
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.loading import event_of
from homeserver.rooms.registry import Rooms
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.runtime.tasks import Tasks
from storage import events as event_rows
from storage import followers, im_moments, log
from storage.database import Database
from storage.transaction import Transaction

NAME = "im moments"
_ENTRIES = 1000
_PLACE_EVERY = 5000
"""How far the place may lag behind while nothing happens in moments rooms."""


class MomentFollower:
    """Follows the log."""

    def __init__(self, db: Database, rooms: Rooms, notifier: Notifier, tasks: Tasks) -> None:
        self._db = db
        self._rooms = rooms
        self._tasks = tasks
        self._notifier = notifier
        self._saved = 0
        self._is_caught_up = False

    async def start(self) -> None:
        """Read what was written since the place; then listen."""
        self._notifier.subscribe(self._heard)
        place = await self._db.read(followers.load_place, NAME)
        while True:
            entries = await self._db.read(log.entries_after, place, _ENTRIES)
            if not entries:
                break
            for room_id in {entry.room_id for entry in entries if entry.kind is LogKind.EVENT}:
                room = await self._rooms.find_or_load(RoomID(room_id or ""))
                if room is not None and room.room_type == MOMENTS:
                    ids = [
                        entry.ref
                        for entry in entries
                        if entry.room_id == room_id and entry.kind is LogKind.EVENT
                    ]
                    await self._db.run(_catch_up, room, ids)
            place = entries[-1].position
            await self._db.run(followers.save_place, NAME, place)
        self._saved = place
        self._is_caught_up = True

    async def rebuild(self) -> None:
        """Forget everything and read the log again."""
        await self._db.run(_forget)
        await self.start()

    def _heard(self, entries: Sequence[LogEntry]) -> None:
        last = entries[-1].position
        touched = False
        for entry in entries:
            if entry.kind is not LogKind.EVENT or not isinstance(entry.payload, TimelineEvent):
                continue
            room = self._rooms.find(RoomID(entry.room_id or ""))
            if room is not None and room.room_type == MOMENTS:
                touched = True
                self._tasks.spawn("moments", self._project(room, entry.payload, last))
        if not touched and self._is_caught_up and last - self._saved > _PLACE_EVERY:
            self._saved = last
            self._tasks.spawn("place of moments", self._save_place(last))

    async def _project(self, room: LiveRoom, entry: TimelineEvent, last: int) -> None:
        await self._db.run(_project, room, entry.event, entry.position, last if self._is_caught_up else None)

    async def _save_place(self, place: int) -> None:
        await self._db.run(followers.save_place, NAME, place)


def _forget(txn: Transaction) -> None:
    im_moments.clear(txn)
    followers.forget(txn, NAME)


def _catch_up(txn: Transaction, room: LiveRoom, ids: Sequence[str]) -> None:
    im_moments.save_room(txn, room.room_id, room.create_event.sender, audience_of(room))
    for row in sorted(event_rows.by_id(txn, ids).values(), key=lambda row: row.number):
        if row.position is not None and not row.flags & event_rows.HIDDEN and row.redacted_by is None:
            _take(txn, room, event_of(row, room.version), row.position)


def _project(txn: Transaction, room: LiveRoom, event: Event, position: int, place: int | None) -> None:
    if event.state_key is not None:
        # Whatever makes the room known to us makes its author known: its creation, or our joining it.
        im_moments.save_room(txn, room.room_id, room.create_event.sender, audience_of(room))
    _take(txn, room, event, position)
    if place is not None:
        followers.save_place(txn, NAME, place)


def _take(txn: Transaction, room: LiveRoom, event: Event, position: int) -> None:
    if event.type == "m.room.redaction" and event.redacts is not None:
        im_moments.remove_redacted(txn, EventID(event.redacts))
    elif is_post(event, room.create_event.sender):
        im_moments.save_post(txn, room.room_id, position, event.event_id)
