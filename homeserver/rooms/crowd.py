"""Rooms with many forward extremities: an event that nobody sees ties them together again.

Every further fork makes the next state resolution dearer; a room in which nobody of ours speaks would never merge them.
"""

from __future__ import annotations

import structlog

from homeserver.errors import HearthError
from homeserver.ids import RoomID, UserID
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.writer import Draft, RoomWriter
from homeserver.runtime.clock import Clock
from homeserver.runtime.tasks import Tasks

_log = structlog.get_logger(__name__)

MERGE_TYPE = "org.matrix.dummy_event"
"""The type that other servers know and show nobody."""

MAX_EXTREMITIES = 10
AT_MOST_EVERY_S = 1.0


class ExtremityMerge:
    """Sends such events, for whoever of ours may."""

    def __init__(self, rooms: Rooms, writer: RoomWriter, clock: Clock, tasks: Tasks) -> None:
        self._rooms = rooms
        self._writer = writer
        self._clock = clock
        self._tasks = tasks
        self._planned: set[RoomID] = set()

    def grown(self, room: LiveRoom) -> None:
        """The room has got an event; merge its forks soon, if they are many."""
        if len(room.head.extremities) > MAX_EXTREMITIES and room.room_id not in self._planned:
            self._planned.add(room.room_id)
            self._clock.call_later(AT_MOST_EVERY_S, self._begin, room.room_id)

    def _begin(self, room_id: RoomID) -> None:
        self._planned.discard(room_id)
        self._tasks.spawn(f"merge the forks of {room_id}", self._merge(room_id))

    async def _merge(self, room_id: RoomID) -> None:
        room = await self._rooms.find_or_load(room_id)
        if room is None or len(room.head.extremities) <= MAX_EXTREMITIES:
            return
        levels = room.power_levels
        needed = levels.event(MERGE_TYPE, is_state=False)
        sender = next((user for user in sorted(room.local_joined) if levels.user(user) >= needed), None)
        if sender is None:
            return
        try:
            await self._writer.send(room_id, Draft(MERGE_TYPE, UserID(sender), {}))
        except HearthError as error:
            _log.info("cannot merge the forks of a room", room=room_id, reason=str(error))
