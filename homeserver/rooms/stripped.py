"""Stripped state: what somebody outside a room may see of it, when invited to it or knocking.

Spec: https://spec.matrix.org/v1.19/client-server-api/#stripped-state
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.events.event import Event
from homeserver.events.room_versions import room_version
from homeserver.ids import RoomID, StateKey, UserID
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.loading import event_of
from homeserver.rooms.registry import Rooms
from storage import events as event_rows
from storage import membership, stripped
from storage import rooms as room_rows
from storage.database import Database
from storage.transaction import Transaction

SHOWN: tuple[StateKey, ...] = (
    ("m.room.create", ""),
    ("m.room.name", ""),
    ("m.room.avatar", ""),
    ("m.room.topic", ""),
    ("m.room.join_rules", ""),
    ("m.room.canonical_alias", ""),
    ("m.room.encryption", ""),
)


def shown_state(room: LiveRoom, user_id: UserID) -> list[Event]:
    """The events that somebody outside may see: what the room is, their own membership and who brought it about."""
    keys = list(SHOWN)
    own = room.state.get(("m.room.member", user_id))
    if own is not None and own.sender != user_id:
        keys.append(("m.room.member", own.sender))
    keys.append(("m.room.member", user_id))
    return [event for key in keys if (event := room.state.get(key)) is not None]


def strip(event: Event) -> dict[str, Any]:
    return {
        "type": event.type,
        "state_key": event.state_key,
        "sender": event.sender,
        "content": event.content,
    }


class StrippedStates:
    """Finds the stripped state of invitations and knocks, to rooms here and elsewhere."""

    def __init__(self, db: Database, rooms: Rooms) -> None:
        self._db = db
        self._rooms = rooms

    async def of(self, room_id: RoomID, user_id: UserID) -> list[dict[str, Any]]:
        """The stripped state that goes with the user's invitation or knock."""
        room = await self._rooms.find_or_load(room_id)
        if room is not None and room.membership(user_id) in ("invite", "knock"):
            return [strip(event) for event in shown_state(room, user_id)]
        kept = await self._db.read(stripped.find, room_id, user_id)
        state: list[dict[str, Any]] = [] if kept is None else msgspec.json.decode(kept)
        own = await self.member_event(room_id, user_id)
        if own is not None and not any(
            each.get("type") == "m.room.member" and each.get("state_key") == user_id for each in state
        ):
            state.append(strip(own))
        return state

    async def member_event(self, room_id: RoomID, user_id: UserID) -> Event | None:
        """The user's membership event in a room that this server may not be in."""
        return await self._db.read(_member_event, room_id, user_id)


def _member_event(txn: Transaction, room_id: RoomID, user_id: UserID) -> Event | None:
    current = membership.find(txn, room_id, user_id)
    found = room_rows.find(txn, room_id)
    if current is None or found is None:
        return None
    row = event_rows.by_number(txn, [current.event]).get(current.event)
    return None if row is None else event_of(row, room_version(found[1]))
