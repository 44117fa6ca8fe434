"""Who may look into a room, and what its state is to them.

Spec: https://spec.matrix.org/v1.19/client-server-api/#getting-events-for-a-room
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from homeserver.errors import Forbidden, NotFound
from homeserver.events.event import Event
from homeserver.events.state_tree import NodeHash
from homeserver.ids import EventID, RoomID, StateKey, UserID
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.loading import timeline_events
from homeserver.rooms.membership import WholeRooms
from homeserver.rooms.registry import Rooms
from homeserver.rooms.state_at import StateAt
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.visibility import Visibility
from storage import events as event_rows
from storage import membership as membership_rows
from storage.database import Database
from storage.transaction import Transaction


@dataclass(slots=True, frozen=True)
class Sight:
    """A room as one user may see it: the state, and the log position up to which they may look."""

    room: LiveRoom
    state: Mapping[StateKey, Event]
    position: int


class RoomAccess:
    """The door to rooms for whoever reads them."""

    def __init__(
        self, db: Database, rooms: Rooms, state_at: StateAt, visibility: Visibility, whole_rooms: WholeRooms
    ) -> None:
        self._whole_rooms = whole_rooms
        self._db = db
        self._rooms = rooms
        self._state_at = state_at
        self._visibility = visibility

    async def joined(self, room_id: RoomID, user_id: UserID, *, whole: bool = False) -> LiveRoom:
        """The room, if the user is in it; `whole` waits until all of its members are known.

        Raises:
            Forbidden: the user is not in the room, or there is none.
        """
        room = self._rooms.find(room_id) or await self._rooms.find_or_load(room_id)
        if room is None or not room.is_joined(user_id):
            raise Forbidden("you are not in this room")
        return await self._whole_rooms.wait_for(room) if whole else room

    async def is_joined(self, room_id: RoomID, user_id: UserID) -> bool:
        """Whether the user is in the room, as far as this server knows it."""
        room = self._rooms.find(room_id) or await self._rooms.find_or_load(room_id)
        return room is not None and room.is_joined(user_id)

    async def sight(self, room_id: RoomID, user_id: UserID, *, whole: bool = False) -> Sight:
        """The room as it is now to its members, and to all if it is world-readable; as it was to those who left.

        `whole` waits until all of its members are known.

        Raises:
            Forbidden: the user was never in it, or there is no such room.
        """
        room = self._rooms.find(room_id) or await self._rooms.find_or_load(room_id)
        if room is None:
            raise Forbidden("you are not in this room")
        if whole and room.partial_state:
            room = await self._whole_rooms.wait_for(room)
        if room.is_joined(user_id) or room.history_visibility == "world_readable":
            return Sight(room, room.state, room.position)
        left = await self._db.read(_left_at, room_id, user_id)
        if left is None:
            raise Forbidden("you are not in this room")
        position, root = left
        state = dict(await self._state_at.at(room, root))
        member = room.state.get(("m.room.member", user_id))
        if member is not None:
            state["m.room.member", user_id] = member
        return Sight(room, state, position)

    async def event(
        self, room_id: RoomID, event_id: EventID, user_id: UserID
    ) -> tuple[LiveRoom, TimelineEvent]:
        """An event that the user may see.

        Raises:
            NotFound: there is none, or it is not for the user.
        """
        room = self._rooms.find(room_id) or await self._rooms.find_or_load(room_id)
        if room is None:
            raise NotFound(f"no event {event_id}")
        entry = room.timeline.find(event_id)
        if entry is None:
            entry = await self._db.read(_load_event, room, event_id)
        if entry is None or not await self._visibility.visible(room, user_id, [entry]):
            raise NotFound(f"no event {event_id}")
        return room, entry

    async def event_anywhere(self, event_id: EventID, user_id: UserID) -> tuple[LiveRoom, TimelineEvent]:
        """An event that the user may see, of whichever room.

        Raises:
            NotFound: there is none, or it is not for the user.
        """
        room_id = await self._db.read(_room_of, event_id)
        if room_id is None:
            raise NotFound(f"no event {event_id}")
        return await self.event(room_id, event_id, user_id)


def _room_of(txn: Transaction, event_id: EventID) -> RoomID | None:
    row = event_rows.find(txn, event_id)
    return None if row is None else RoomID(txn.interned(row.room))


def _left_at(txn: Transaction, room_id: RoomID, user_id: UserID) -> tuple[int, NodeHash] | None:
    """Where in the log, and on what state, the user left (or was banned after having been in the room)."""
    current = membership_rows.find(txn, room_id, user_id)
    if current is None or current.forgotten or current.membership not in ("leave", "ban"):
        return None
    row = event_rows.by_number(txn, [current.event]).get(current.event)
    if row is None or row.state_before is None or row.replaces is None:
        return None
    return current.position, row.state_before


def _load_event(txn: Transaction, room: LiveRoom, event_id: EventID) -> TimelineEvent | None:
    row = event_rows.find(txn, event_id)
    if row is None or row.room != txn.find_interned(room.room_id) or row.flags & event_rows.HIDDEN:
        return None
    (entry,) = timeline_events(txn, [row], room.version)
    return entry
