"""What this server can tell of a room's past state: at an event, with everything that authorises it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from homeserver.errors import NotFound
from homeserver.events import state_tree
from homeserver.events.auth_chain import auth_chain
from homeserver.events.event import Event
from homeserver.events.heroes import heroes
from homeserver.ids import EventID, RoomID, StateKey, UserID
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.resolution import StoredRoom
from storage import events as event_rows
from storage.database import Database
from storage.events import EventFlag, EventRow
from storage.transaction import Transaction


class StateBefore(NamedTuple):
    """The state before an event, and the auth chain of all of it, as canonical JSON."""

    state: list[bytes]
    auth_chain: list[bytes]


class StateIds(NamedTuple):
    state: list[EventID]
    auth_chain: list[EventID]


class RoomTelling:
    """Reads from the database what other servers ask for; whoever calls has let them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def state_before(
        self, room: LiveRoom, event: Event, *, only_for: UserID | None = None
    ) -> StateBefore:
        """The state before an event of the room; `only_for` leaves out members whom that user need not know yet."""
        return await self._db.read(_state_before, room, event.event_id, only_for)

    async def state_ids_before(self, room: LiveRoom, event_id: EventID) -> StateIds:
        """
        Raises:
            NotFound: this server does not know the state there.
        """
        return await self._db.read(_state_ids, room, event_id)

    async def state_at(self, room: LiveRoom, event_id: EventID) -> StateBefore:
        """
        Raises:
            NotFound: this server does not know the state there.
        """
        return await self._db.read(_state_before, room, event_id, None)

    async def auth_chain(self, room: LiveRoom, event_ids: Collection[EventID]) -> list[Event]:
        return await self._db.read(_auth_chain, room, event_ids)

    async def room_of(self, event_id: EventID) -> RoomID | None:
        """The room of an event that is here, whether or not it has a place there."""
        return await self._db.read(_room_of, event_id)


def _stored(txn: Transaction, room: LiveRoom) -> StoredRoom:
    return StoredRoom(txn, room.room_id, room.version, dict(room.nodes))


def _row_of(stored: StoredRoom, txn: Transaction, room: LiveRoom, event_id: EventID) -> EventRow:
    row = stored.rows([event_id]).get(event_id)
    if row is None or row.room != txn.find_interned(room.room_id) or row.state_before is None:
        raise NotFound(f"this server does not know the state at {event_id}")
    if row.flags & EventFlag.REJECTED:
        raise NotFound(f"the event {event_id} was rejected")
    return row


def _state_of(stored: StoredRoom, row: EventRow) -> dict[StateKey, Event]:
    assert row.state_before is not None
    numbers = [number for _, number in state_tree.items(row.state_before, stored.load_node)]
    events = stored.events_by_number(numbers).values()
    return {event.key: event for event in events if event.key is not None}


def _state_before(
    txn: Transaction, room: LiveRoom, event_id: EventID, only_for: UserID | None
) -> StateBefore:
    stored = _stored(txn, room)
    row = _row_of(stored, txn, room, event_id)
    state = _state_of(stored, row)
    if only_for is not None:
        kept = _needed_members(state, only_for)
        state = {key: each for key, each in state.items() if key[0] != "m.room.member" or key[1] in kept}
    roots = [each.event_id for each in state.values()]
    roots.extend(stored.events([event_id])[event_id].auth_events)
    chain = auth_chain(roots, stored.events)
    chain.update(stored.events(stored.events([event_id])[event_id].auth_events))
    if only_for is not None:
        for each in state.values():
            chain.pop(each.event_id, None)
    return StateBefore(_json_of(state.values()), _json_of(chain.values()))


def _needed_members(state: dict[StateKey, Event], user_id: UserID) -> set[str]:
    return {user_id, *heroes(state, user_id)}


def _state_ids(txn: Transaction, room: LiveRoom, event_id: EventID) -> StateIds:
    stored = _stored(txn, room)
    state = _state_of(stored, _row_of(stored, txn, room, event_id))
    ids = [each.event_id for each in state.values()]
    return StateIds(ids, list(auth_chain(ids, stored.events)))


def _auth_chain(txn: Transaction, room: LiveRoom, event_ids: Collection[EventID]) -> list[Event]:
    return list(auth_chain(event_ids, _stored(txn, room).events).values())


def _room_of(txn: Transaction, event_id: EventID) -> RoomID | None:
    row = event_rows.find(txn, event_id)
    return None if row is None else RoomID(txn.interned(row.room))


def _json_of(events: Iterable[Event]) -> list[bytes]:
    return [event.json for event in events]
